"""The warehouse: every table of `recsys.data`, in path mode or catalog mode, behind the same few methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JError
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import progress
from recsys.data import Column as Declared
from recsys.data import Table
from recsys.data.sql import condition, quote
from recsys.environment import WarehouseSettings
from recsys.errors import MissingData
from recsys.store.catalog import table_named
from recsys.store.contract import conform, require_unique, schema_of
from recsys.store.ddl import choose_period, create, evolve, naming_violations, written_once
from recsys.store.instants import between, states_at
from recsys.store.merging import merging, rows_merged


@dataclass(frozen=True)
class Written:
    """What a write did: rows written and the Delta version that holds them."""

    rows: int
    version: int


class Warehouse:
    """The project's tables under one directory (path mode) or one schema of a catalog (catalog mode).

    Parameters
    ----------
    spark : SparkSession
        A session with Delta.
    config : WarehouseSettings
        Where the tables live.
    """

    def __init__(self, spark: SparkSession, config: WarehouseSettings) -> None:
        self.spark = spark
        self.config = config
        self.root = config.path if "://" in config.path else str(Path(config.path).expanduser().absolute())

    # -- names

    def location(self, table: Table) -> str:
        """The table as SQL names it: delta.`path` or catalog.schema.table."""
        if self.config.database_name is None:
            return f"delta.{quote(f'{self.root}/{table.name}')}"
        parts = [part for part in (self.config.catalog, self.config.database_name, table.name) if part]
        return ".".join(quote(part) for part in parts)

    def path(self, *parts: str) -> str:
        """A directory or file beside the tables: bundles, snapshots, reports.

        Never inside a table: VACUUM deletes every file that the table's log does not list.

        Raises
        ------
        ValueError
            If the first part is the name of a table.
        """
        if table_named(parts[0]) is not None:
            raise ValueError(f"{parts[0]} is a table; other files need a directory of their own")
        return "/".join([self.root, *parts])

    def exists(self, table: Table) -> bool:
        """Whether the table has been created."""
        if self.config.database_name is None:
            return DeltaTable.isDeltaTable(self.spark, f"{self.root}/{table.name}")
        return self.spark.catalog.tableExists(self.location(table))

    def version(self, table: Table) -> int:
        """Latest Delta version of the table."""
        if self.config.database_name is None:
            quick = _snapshot_version(self.spark, f"{self.root}/{table.name}")
            if quick is not None:
                return quick
        return int(self.delta(table).history(1).select("version").first()["version"])  # type: ignore[index]

    def counts(self, tables: Iterable[Table]) -> dict[str, int]:
        """Rows of the tables that exist, whatever the instant, in one query."""
        existing = [table for table in tables if self.exists(table)]
        if not existing:
            return {}
        named = (self.delta(table).toDF().select(F.lit(table.name).alias("name")) for table in existing)
        counted = reduce(DataFrame.union, named).groupBy("name").count().collect()
        rows = {row["name"]: row["count"] for row in counted}
        return {table.name: rows.get(table.name, 0) for table in existing}

    # -- reading

    def read(
        self,
        table: Table,
        *,
        before: datetime | None = None,
        since: datetime | None = None,
        valid_at: datetime | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
        required: bool = True,
    ) -> DataFrame:
        """Read a table, or the part of it that an instant allows.

        Parameters
        ----------
        before, since : datetime, optional
            Bounds on the table's time column: strictly earlier, and at or later.
        valid_at : datetime, optional
            For `items` and `users`: the row of each entity that was valid just before that instant, without entities
            that began at or after it (`added_at`, `signed_up_at`). `valid_to` and `is_current` are left out, because
            they reveal the future.
        where : mapping, optional
            Column to value (or list of values).
        version : int, optional
            Delta version to read instead of the latest.
        required : bool
            Whether a missing table is an error; otherwise an empty frame with the table's columns is returned.

        Raises
        ------
        MissingData
            Naming the table, if it is missing and required.
        """
        if not self.exists(table):
            if required:
                raise MissingData(f"table {table.name} does not exist in {self.root}", table=table.name)
            return self.spark.createDataFrame([], schema_of(table))
        progress.current().reads[table.name] = self.version(table) if version is None else version
        frame = self._frame(table, version)
        if where:
            frame = frame.where(condition(where))
        if before is not None or since is not None:
            frame = frame.where(between(table, since=since, before=before))
        if valid_at is not None:
            return states_at(table, frame, valid_at)
        return frame.select(*(_stored(frame, column) for column in table.columns))

    def made_for(self, table: Table, as_of: datetime) -> DataFrame:
        """Read what a run date's slice holds for an instant; two instants of one day share the slice.

        Raises
        ------
        MissingData
            Naming the table, if the slice is empty or was written for another instant.
        """
        found = self.read(table, where={"run_date": as_of.date(), "as_of": as_of})
        if found.isEmpty():
            message = f"table {table.name} holds nothing for {as_of:%Y-%m-%dT%H:%M:%SZ}"
            raise MissingData(message, table=table.name, when="for this as_of ")
        return found

    def _frame(self, table: Table, version: int | None) -> DataFrame:
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        if self.config.database_name is None:
            return reader.load(f"{self.root}/{table.name}")
        return reader.table(self.location(table))

    # -- writing

    def replace(self, table: Table, frame: DataFrame, *, where: Mapping[str, Any]) -> Written:
        """Replace exactly one slice of a table, atomically; create the table if it does not exist.

        Parameters
        ----------
        where : mapping
            Column to value (or list of values) that names the slice; every row of `frame` must be in it. Empty: the
            whole table.

        Raises
        ------
        DataError
            If the key is not unique, a required column is null, or a check of the table fails.
        """
        with progress.step(f"write {table.name}") as this:
            with written_once(conform(frame, table)) as stored:
                self._ensure(table, stored)
                rows = require_unique(stored, table)
                writer = stored.write.format("delta").mode("overwrite")
                if where:
                    writer = writer.option("replaceWhere", condition(where))
                self._save(table, writer)
            return _recorded(table, this, Written(rows, self.version(table)))

    def clear(self, table: Table, *, where: Mapping[str, Any]) -> None:
        """Empty one slice of a table; without a commit if it has no rows."""
        if self.exists(table) and not self._frame(table, None).where(condition(where)).isEmpty():
            self.delta(table).delete(condition(where))

    def merge(
        self,
        table: Table,
        frame: DataFrame,
        *,
        update: bool,
        fill: Sequence[str] = (),
        prune: Mapping[str, Any] | None = None,
    ) -> Written:
        """Merge rows into a table by its key: new keys are inserted, known ones updated, filled in or left alone.

        Parameters
        ----------
        update : bool
            Whether rows with a known key replace the stored ones.
        fill : sequence of str
            Columns that a row with a known key fills where the stored row has null.
        prune : mapping, optional
            Column to list of values that covers all rows of `frame`: only matching files are searched for the key.
            Correct only if equal keys have equal values of that column.

        Raises
        ------
        DataError
            If the source holds a key twice.
        """
        with progress.step(f"merge into {table.name}") as this:
            with written_once(conform(frame, table)) as stored:
                self._ensure(table, stored)
                before, delta = self.version(table), self.delta(table)
                require_unique(stored, table)
                merge = merging(delta, table, stored, update=update, fill=fill, prune=prune)
                with naming_violations(table):
                    counts = merge.execute()
            rows = rows_merged(self.delta(table), counts, since=before)
            return _recorded(table, this, Written(rows, self.version(table)))

    def optimize(self, table: Table, *, where: Mapping[str, Any] | None = None) -> None:
        """Compact the small files of a slice."""
        with progress.step(f"optimize {table.name}"):
            builder = self.delta(table).optimize()
            if where:
                builder = builder.where(condition(where))
            builder.executeCompaction()

    def _save(self, table: Table, writer: Any) -> None:
        with naming_violations(table):
            if self.config.database_name is None:
                writer.save(f"{self.root}/{table.name}")
            else:
                writer.saveAsTable(self.location(table))

    def create(self, table: Table, *, period: str = "month") -> None:
        """Create the table, empty, if it does not exist."""
        if not self.exists(table):
            path = f"{self.root}/{table.name}" if self.config.database_name is None else None
            create(self.spark, table, self.location(table), period, path=path)

    def _ensure(self, table: Table, frame: DataFrame) -> None:
        if self.exists(table):
            evolve(self.spark, table, self.location(table), self.delta(table))
        else:
            self.create(table, period=choose_period(frame, table, self.config.period))

    def delta(self, table: Table) -> DeltaTable:
        """The table as Delta's own object, for methods that only `recsys.store` needs."""
        if self.config.database_name is None:
            return DeltaTable.forPath(self.spark, f"{self.root}/{table.name}")
        return DeltaTable.forName(self.spark, self.location(table))


def _snapshot_version(spark: SparkSession, path: str) -> int | None:
    """Ask open-source Delta's log object for the version, which costs no query; None if the Delta is another."""
    try:
        # By its full name: part by part, the gateway would search every jar for each package.
        log = getattr(spark._jvm, "org.apache.spark.sql.delta.DeltaLog")  # noqa: B009
        return int(log.forTableWithSnapshot(spark._jsparkSession, path)._2().version())
    except (TypeError, Py4JError):
        return None


def _recorded(table: Table, this: progress.Step, written: Written) -> Written:
    this.rows = written.rows
    recorder = progress.current()
    recorder.writes[table.name] = written.version
    recorder.rows[table.name] = recorder.rows.get(table.name, 0) + written.rows
    return written


def _stored(frame: DataFrame, column: Declared) -> Column:
    """A column of a stored table; null where it was added to the contract after the table was last written."""
    if column.name in frame.columns or not column.nullable:
        return F.col(column.name)
    return F.lit(None).cast(column.type).alias(column.name)
