"""Keeps a table small and quick: puts small files together, and deletes files that no version needs any more.

Neither changes a row, and no run becomes out of date by it (`recsys.store.history` tells such commits from others).
Where the engine knows clustering (`CLUSTER BY`), OPTIMIZE follows what the table itself says.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import Table
from recsys.store.retrying import retrying
from recsys.store.session import set_within
from recsys.store.tables import Tables

MIB: Final = 1 << 20
_OPTIMIZE: Final = "spark.databricks.delta.optimize"
_CHECKED: Final = "spark.databricks.delta.retentionDurationCheck.enabled"
"""Delta's own guard against short retention; the config has one of its own."""


class Files(NamedTuple):
    """The data files of a table's newest version.

    Attributes
    ----------
    number, bytes : int
        All of them.
    small : int, optional
        Those below the size that is asked for; None where the engine does not tell.
    loose : int, optional
        Small ones that share their partition with another, and so can be put together.
    """

    number: int
    bytes: int
    small: int | None
    loose: int | None


class Upkeep(NamedTuple):
    """What was done for one table, or would be.

    Attributes
    ----------
    files : Files
        As they were before.
    slices : int
        Slices removed for their age.
    combined : int, optional
        Small files that were put together; None where the engine tells only afterwards.
    into : int, optional
        Files that took their place.
    deleted : int
        Files that no version needed any more.
    """

    table: str
    files: Files
    slices: int
    combined: int | None
    into: int | None
    deleted: int

    @property
    def changes(self) -> bool:
        """Whether there was something to do."""
        return self.combined is None or bool(self.slices or self.combined or self.deleted)

    def line(self) -> str:
        """Write it as a row below :data:`HEADER`."""
        small = "?" if self.files.small is None else f"{self.files.small:,}"
        combined = "?" if self.combined is None else f"{self.combined:,}"
        if self.into is not None and self.combined:
            combined += f" into {self.into:,}"
        return (
            f"{self.table:<24}{self.files.number:>9,}{self.files.bytes / MIB:>11,.1f}{small:>9}{combined:>18}"
            f"{self.slices:>12,}{self.deleted:>9,}"
        )


HEADER: Final = f"{'table':<24}{'files':>9}{'MiB':>11}{'small':>9}{'put together':>18}{'old slices':>12}{'deleted':>9}"


def files_of(tables: Tables, table: Table, *, file_mb: int) -> Files:
    """Measure the files of an existing table, from its log alone."""
    listed = _listed(tables, table)
    if listed is None:
        detail = tables.delta(table).detail().select("numFiles", "sizeInBytes").first()
        assert detail is not None  # one row for each table
        return Files(int(detail["numFiles"]), int(detail["sizeInBytes"]), None, None)
    is_small = F.count_if(F.col("size") < file_mb * MIB)
    found = (
        listed.groupBy(F.to_json("partitionValues"))
        .agg(F.count("*").alias("number"), F.sum("size").alias("bytes"), is_small.alias("small"))
        .agg(
            *(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("number", "bytes", "small")),
            F.coalesce(F.sum(F.when(F.col("small") > 1, F.col("small"))), F.lit(0)).alias("loose"),
        )
        .first()
    )
    assert found is not None  # an aggregate over all
    return Files(**found.asDict())


def compact(tables: Tables, table: Table, *, file_mb: int) -> tuple[int, int]:
    """Put small files together.

    Returns
    -------
    tuple of int
        Files that were read, and files that took their place.
    """
    size = str(file_mb * MIB)
    with set_within(tables.spark, {f"{_OPTIMIZE}.minFileSize": size, f"{_OPTIMIZE}.maxFileSize": size}, required=False):
        done = retrying(lambda: tables.delta(table).optimize().executeCompaction())
    counts = done.select("metrics.numFilesRemoved", "metrics.numFilesAdded").first()
    return (int(counts[0]), int(counts[1])) if counts is not None else (0, 0)


def obsolete(tables: Tables, table: Table, *, retention_days: int) -> int:
    """Count the files that :func:`vacuum` would delete; on Databricks, at most 1,000 are told."""
    with set_within(tables.spark, {_CHECKED: "false"}, required=False):
        hours = 24 * retention_days
        return tables.spark.sql(f"VACUUM {tables.location(table)} RETAIN {hours} HOURS DRY RUN").count()


def vacuum(tables: Tables, table: Table, *, retention_days: int) -> None:
    """Delete the files that no version of the table has needed for some days."""
    with set_within(tables.spark, {_CHECKED: "false"}, required=False):
        tables.delta(table).vacuum(24.0 * retention_days)


def _listed(tables: Tables, table: Table) -> DataFrame | None:
    """The files of a table as its log lists them; None for a Delta that is not the open-source one."""
    place = tables.directory(table)
    if tables.in_catalog:
        found = tables.delta(table).detail().select("location").first()
        place = found["location"] if found is not None else place
    spark = tables.spark
    try:
        log: Any = getattr(spark._jvm, "org.apache.spark.sql.delta.DeltaLog")  # noqa: B009
        files = log.forTableWithSnapshot(spark._jsparkSession, place)._2().allFiles()
        return DataFrame(files.toDF(), spark)
    except (TypeError, Py4JError):
        return None
