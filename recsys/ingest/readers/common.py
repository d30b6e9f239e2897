"""What the readers share: encodings, directory trees, the provenance of a row, and messages about missing columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F

from recsys.data.sql import quote
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.encodings import in_every_spark, java_name
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import BROKEN, FILE, RAW
from recsys.settings import closest

NEAR: Final = 0.75
"""How alike two columns of a file have to be for one to be meant by the other, of 1."""

CORRUPT: Final = "__corrupt"
"""Where Spark puts the text of a record that it can't parse."""


def reader(spark: SparkSession, files: list[InputFile], *, base: str | None = None) -> DataFrameReader:
    """Return a reader of everything below a directory.

    Spark descends into `key=value` folders by itself; it has to be asked to descend into others.
    """
    keyed = any("=" in file.below_listed.rpartition("/")[0] for file in files)
    found = spark.read.option("recursiveFileLookup", not keyed)
    return found.option("basePath", base) if base and keyed else found


def encoded_reader(
    spark: SparkSession, source: Source, files: list[InputFile], *, base: str | None = None
) -> DataFrameReader:
    """Return a reader of text in the source's encoding."""
    name = java_name(source.format.encoding)
    if not in_every_spark(name):
        # Spark 4 accepts only the charsets on its own list unless this is set; 3.5 ignores the key.
        spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    return reader(spark, files, base=base).option("encoding", name)


def with_origin(frame: DataFrame, names: Iterable[str], broken: Column) -> DataFrame:
    """Add to each row itself as it was read, its file, and whether it can't be parsed."""
    columns = [F.col(quote(name)) for name in names]
    raw = F.to_json(F.struct(*columns))
    if CORRUPT in frame.columns:
        raw = F.coalesce(F.col(CORRUPT), raw)
    return frame.select(*columns, raw.alias(RAW), F.col("_metadata.file_path").alias(FILE), broken.alias(BROKEN))


def require_columns(source: Source, found: list[str]) -> None:
    """Check that the files hold every column that the mapping reads.

    Raises
    ------
    DataError
        Naming the first column that is missing, and the closest one there is.
    """
    for name in sorted(source.source_columns()):
        if name not in found:
            raise missing_column(source, name, found, closest(name, found, cutoff=NEAR))


def missing_column(source: Source, name: str, found: Iterable[str], close: str | None) -> DataError:
    """Return the error for a column that the mapping reads and the files lack; `close` is what it may have meant."""
    names = sorted(found)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"did you mean {close}?" if close else "fix the mapping, or the format's separator and header"
    return DataError(
        f"source {source.name}: the mapping reads column {name}, which {source.path} lacks (it has {listed}); {hint}"
    )
