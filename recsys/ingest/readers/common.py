"""What the readers share: encodings, directory trees, the provenance of a row, and messages about missing columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F

from recsys.data.sql import quote
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.encodings import in_every_spark, java_name
from recsys.ingest.files import AS_NAMED, InputFile
from recsys.ingest.mappable import BROKEN, FILE, RAW
from recsys.ingest.places import local_path
from recsys.settings import closest

NEAR: Final = 0.75
"""How alike two columns of a file have to be for one to be meant by the other, of 1."""

CORRUPT: Final = "__corrupt"
"""Where Spark puts the text of a record that it can't parse."""

_OWN: Final = frozenset([RAW, FILE, BROKEN, CORRUPT])
_COLONS: Final = {"fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem", "fs.file.impl.disable.cache": "true"}
"""Hadoop looks for a file of checksums beside each local file, and can't put its name together if there is a colon."""
_METADATA: Final = "_metadata"
"""The column that Spark adds to what it reads, unless the files have one of that name."""


def reader(spark: SparkSession, files: Sequence[InputFile]) -> DataFrameReader:
    """Return a reader of everything below a directory, which takes names as they are, brackets and stars included.

    Spark descends into `key=value` folders by itself, if all of them have the same keys; it has to be asked to descend
    into others.
    """
    keys = {_keys(file) for file in files}
    keyed = len(keys) == 1 and all(next(iter(keys), ()))
    found = spark.read.option("recursiveFileLookup", not (keyed and keys != {()})).option(*AS_NAMED)
    if any(":" in (local_path(file.path) or "") for file in files):
        found = found.options(**_COLONS)
    return found


def places(files: Iterable[InputFile]) -> list[str]:
    """Return the files and directories that were listed, each once, in the order of their names."""
    found = (file.path.removesuffix("/" + file.below_listed) if file.below_listed else file.path for file in files)
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Wanted:
    """Files of a listing that are read together.

    Attributes
    ----------
    files : sequence of InputFile
        Those that are read.
    every : sequence of InputFile
        All that were listed: folders of the ones that are read mean what they mean in all of it.
    """

    files: Sequence[InputFile]
    every: Sequence[InputFile]

    @property
    def whole(self) -> bool:
        """Whether nothing of the listing is left out."""
        return len(self.files) == len(self.every)

    @property
    def paths(self) -> list[str]:
        """What Spark is to load: as it was listed, if that is all."""
        return places(self.files) if self.whole else [file.path for file in self.files]

    def only(self, files: Sequence[InputFile]) -> Wanted:
        """Return some of the files of the same listing."""
        return replace(self, files=files)

    def reader(self, spark: SparkSession) -> DataFrameReader:
        """Return a reader for `paths`."""
        found, bases = reader(spark, self.every), places(self.files)
        if self.whole or len(bases) > 1 or not self.files[0].below_listed:
            return found
        return found.option("basePath", bases[0])

    def encoded_reader(self, spark: SparkSession, encoding: str) -> DataFrameReader:
        """Return a reader of text in an encoding, for `paths`."""
        name = java_name(encoding)
        if not in_every_spark(name):
            # Spark 4 accepts only the charsets on its own list unless this is set; 3.5 ignores the key.
            spark.conf.set("spark.sql.legacy.javaCharsets", "true")
        return self.reader(spark).option("encoding", name)


def whole(files: Sequence[InputFile]) -> Wanted:
    """Return files as a listing of their own."""
    return Wanted(files, files)


def with_origin(
    frame: DataFrame, columns: dict[str, Column], broken: Column, *, file: Column | None = None
) -> DataFrame:
    """Add to each row itself as it was read, its file, and whether it can't be parsed.

    Parameters
    ----------
    columns : dict of str to Column
        The source's own columns by name. One that is named like a helper column stays in the row as it was read alone.
    file : Column, optional
        What stands for the file of rows that Spark knows no file of.
    """
    values = [column.alias(name) for name, column in columns.items()]
    raw = F.to_json(F.struct(*values))
    if CORRUPT in frame.columns:
        raw = F.coalesce(F.col(CORRUPT), raw)
    if file is None:
        hidden = any(name.lower() == _METADATA for name in frame.columns)
        file = F.input_file_name() if hidden else F.col(f"{_METADATA}.file_path")
    own = [value for name, value in zip(columns, values, strict=True) if name.lower() not in _OWN]
    return frame.select(*own, raw.alias(RAW), file.alias(FILE), broken.alias(BROKEN))


def named(names: Iterable[str]) -> dict[str, Column]:
    """Return columns as they are, by name."""
    return {name: F.col(quote(name)) for name in names}


def require_columns(source: Source, found: Sequence[str], *, part: bool = False) -> None:
    """Check that the files hold every column that the mapping reads, under names that can be told apart.

    Parameters
    ----------
    part : bool
        They are some of the source's files: what a row can do without may be missing.

    Raises
    ------
    DataError
        Naming the first column that is missing, and the closest one there is.
    """
    for name in sorted(source.source_columns()):
        if name not in found and (not part or name in source.needed_columns()):
            raise missing_column(source, name, found, closest(name, found, cutoff=NEAR))
        if name.lower() in _OWN:
            raise DataError(f"source {source.name}: column {name} has a name of this program's own; rename it")


def refuse_twins(spark: SparkSession, source: Source) -> None:
    """Check that the names that the mapping reads are names of several columns to Spark too.

    Raises
    ------
    DataError
        Naming the first two that differ in case alone, if the session does not tell them apart.
    """
    if str(spark.conf.get("spark.sql.caseSensitive")).lower() == "true":
        return
    for one, other in pairwise(sorted(source.source_columns(), key=lambda name: (name.lower(), name))):
        if one.lower() == other.lower():
            raise DataError(
                f"source {source.name}: columns {min(one, other)} and {max(one, other)} differ in case alone, which "
                "Spark takes for one; tell them apart with --set spark.conf.spark.sql.caseSensitive=true"
            )


def missing_column(source: Source, name: str, found: Iterable[str], close: str | None) -> DataError:
    """Return the error for a column that the mapping reads and the files lack; `close` is what it may have meant."""
    hint = f"did you mean {close}?" if close else "fix the mapping, or the format's separator and header"
    return DataError(
        f"source {source.name}: the mapping reads column {name}, which {source.path} lacks (it has {listed(found)}); "
        f"{hint}"
    )


def listed(names: Iterable[str]) -> str:
    """Return the first 20 names for a message."""
    found = sorted(names)
    return ", ".join(found[:20]) + (", …" if len(found) > 20 else "")


def _keys(file: InputFile) -> tuple[str, ...]:
    """The keys of the folders of a file; an empty one for a folder that has none."""
    folders = file.below_listed.split("/")[:-1]
    return tuple(folder.partition("=")[0] if "=" in folder else "" for folder in folders)
