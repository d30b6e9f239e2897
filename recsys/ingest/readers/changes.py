"""Reads a Delta table by what changed in it: a unit is a range of its versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.errors import DataError
from recsys.failures import headline
from recsys.ingest.dataset import Source
from recsys.ingest.drift import with_others
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import TIME_COLUMN
from recsys.ingest.readers.common import named, require_columns, with_origin
from recsys.ingest.units import Unit, shown_name, units_of_table
from recsys.progress import note

_RANGE: Final = re.compile(r"@(?:(\d+)-)?(\d+)$")
"""Ends a unit's name: its versions, or the one version at which the table was read as a whole."""
_KIND: Final = "_change_type"
_COMMIT: Final = {"_commit_version": "bigint", "_commit_timestamp": "timestamp"}
"""Columns of a change that a mapping may read; null in rows of the first, whole read."""


@dataclass(frozen=True)
class DeltaChanges:
    """A source that is the change feed of a Delta table; a `Reader`.

    Attributes
    ----------
    path : str
        The table.
    log : list of InputFile
        The commits of its log.
    known : mapping of str to str
        Units of the source that were read before, with their versions.
    """

    spark: SparkSession
    source: Source
    path: str
    log: list[InputFile]
    root: str | None
    known: Mapping[str, str]

    def units(self) -> list[Unit]:
        """Return the ranges that were read before, and one of what came since; the first is the whole table.

        Raises
        ------
        DataError
            If the table is at an earlier version than it was.
        """
        (whole,) = units_of_table(self.log, self.root)
        newest, table = int(whole.version.partition("-")[0]), whole.name
        read = {name: match for name in self.known if (match := _RANGE.search(name)) and name.startswith(f"{table}@")}
        ends = [int(match[2]) for match in read.values()]
        if table in self.known and self.known[table][:1].isdigit():
            ends.append(int(self.known[table].partition("-")[0]))  # read as a whole, before `changes` was set
        units = [Unit(name, match[2]) for name, match in sorted(read.items())]
        if not ends:
            return [Unit(f"{table}@{newest}", str(newest))]
        if newest < max(ends):
            raise DataError(
                f"source {self.source.name}: table {table} is at version {newest}, and version {max(ends)} was read "
                "before: it was made anew; set changes: false to read it as a whole"
            )
        return units if newest == max(ends) else [*units, Unit(f"{table}@{max(ends) + 1}-{newest}", str(newest))]

    def open(self, units: Sequence[Unit]) -> DataFrame:
        """Open the rows that were inserted, or what they were updated to.

        Raises
        ------
        DataError
            If the feed does not hold the versions, or rows of a log were deleted.
        """
        frames = [self._opened(unit) for unit in units]
        return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)

    def files(self, units: Sequence[Unit]) -> list[str]:
        """Return the files that the units are made of, as the table's log names them."""
        names = "struct<path:string>"
        lists = [self.spark.read.format("delta").load(self.path).inputFiles()]
        for first, last in (_versions(unit) for unit in units):
            commits = [one.path for one in self.log if first is not None and first <= _number(one) <= last]
            if commits:
                rows = self.spark.read.schema(f"add {names}, cdc {names}, remove {names}").json(commits)
                paths = rows.select(F.explode(F.array("add.path", "cdc.path", "remove.path")).alias("path"))
                lists.append([row["path"] for row in paths.where("path IS NOT NULL").distinct().collect()])
        table = self.log[0].path.rpartition("/_delta_log/")[0]
        return [file if re.match(r"/|[A-Za-z][\w+.-]*:", file) else f"{table}/{file}" for file in sum(lists, [])]

    def _opened(self, unit: Unit) -> DataFrame:
        first, last = _versions(unit)
        reader = self.spark.read.format("delta")
        try:
            if first is None:
                rows = reader.option("versionAsOf", last).load(self.path)
                rows = rows.select("*", *(F.lit(None).cast(kind).alias(name) for name, kind in _COMMIT.items()))
            else:
                feed = reader.option("readChangeFeed", "true")
                rows = feed.option("startingVersion", first).option("endingVersion", last).load(self.path)
                self._require_kept(rows, unit)
                rows = rows.where(F.col(_KIND).isin("insert", "update_postimage")).drop(_KIND)
        except (PySparkException, Py4JJavaError) as error:
            raise DataError(
                f"source {self.source.name}: the changes {unit.name} can't be read ({headline(error)}); they are there "
                "only if delta.enableChangeDataFeed was set on the table before, and until VACUUM removes them; set "
                "changes: false to read the table as a whole once, and true again after it"
            ) from error
        require_columns(self.source, rows.columns)
        file = F.lit(shown_name(unit.name))
        return with_others(with_origin(rows, named(rows.columns), F.lit(False), file=file), self.source)

    def _require_kept(self, rows: DataFrame, unit: Unit) -> None:
        counted = rows.where(F.col(_KIND) == "delete").count()
        if not counted:
            return
        if self.source.table in TIME_COLUMN and self.source.format.deletes == "stop":
            raise DataError(
                f"source {self.source.name}: {counted:,} rows were deleted in {unit.name}, and "
                f"{self.source.table} may hold them; set deletes: keep to leave them there; to take them out, set "
                "changes: false for one run and name the units of the table in --reingest"
            )
        note(f"source {self.source.name}: {counted:,} rows were deleted in {unit.name}; what they told stays")


def _versions(unit: Unit) -> tuple[int | None, int]:
    """The first and the last version of a range; no first one where the table is read as a whole."""
    found = _RANGE.search(unit.name)
    assert found is not None
    return (None if found[1] is None else int(found[1])), int(found[2])


def _number(commit: InputFile) -> int:
    name = commit.path.rpartition("/")[2].partition(".")[0]
    return int(name) if name.isdigit() else -1
