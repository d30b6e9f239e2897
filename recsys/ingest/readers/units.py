"""Opens some of a source's units: the files that are wanted, or a whole Delta table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import FILE
from recsys.ingest.readers import open_source
from recsys.ingest.units import Unit, shown_name, units_of_files, units_of_table


@dataclass(frozen=True)
class Files:
    """A source of files; a `Reader`.

    Attributes
    ----------
    path : str
        The file, directory or glob that was listed.
    found : list of InputFile
        What was found there.
    root : str, optional
        Prefix that is cut off the names of units.
    """

    spark: SparkSession
    source: Source
    path: str
    found: list[InputFile]
    root: str | None

    def units(self) -> list[Unit]:
        """Return one unit per file."""
        return units_of_files(self.found, self.root)

    def open(self, units: Sequence[Unit]) -> DataFrame:
        """Open the files; if all of them are wanted, as the mapping names them."""
        files = [unit.file for unit in units if unit.file is not None]
        if len(files) == len(self.found):
            return open_source(self.spark, self.source, self.path, files)
        full = [file for file in files if file.size]
        frames = [open_source(self.spark, self.source, self.path, part, every=self.found) for part in _by_folder(full)]
        return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


@dataclass(frozen=True)
class DeltaVersion:
    """A source that is a Delta table; a `Reader` whose one unit is the table's newest version.

    Attributes
    ----------
    path : str
        The table.
    log : list of InputFile
        The commits of its log.
    """

    spark: SparkSession
    source: Source
    path: str
    log: list[InputFile]
    root: str | None

    def units(self) -> list[Unit]:
        """Return the newest version."""
        return units_of_table(self.log, self.root)

    def open(self, units: Sequence[Unit]) -> DataFrame:
        """Open the table as it is now: rows of earlier versions are known by their keys."""
        frame = open_source(self.spark, self.source, self.path, self.log)
        return frame.withColumn(FILE, F.lit(shown_name(units[0].name)))

    def files(self, units: Sequence[Unit]) -> list[str]:
        """Return the files that the table is made of, as its log names them."""
        return list(self.spark.read.format("delta").load(self.path).inputFiles())


def _by_folder(files: list[InputFile]) -> list[list[InputFile]]:
    """Split files by the directory that was listed: folders such as `dt=2024-05-01` count from there on."""
    found: dict[str, list[InputFile]] = {}
    for file in files:
        base = file.path[: -len(file.below_listed)] if file.below_listed else ""
        found.setdefault(base, []).append(file)
    return list(found.values())
