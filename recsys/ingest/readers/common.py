"""What the readers share: encodings, directory trees, the provenance of a row, and messages about missing columns."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterable
from typing import Final

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F

from recsys.data.sql import quote
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import BROKEN, FILE, RAW

CORRUPT: Final = "__corrupt"
"""Where Spark puts the text of a record that it can't parse."""

_SPARK_CHARSETS: Final = {
    "utf-8": "UTF-8",
    "ascii": "US-ASCII",
    "iso8859-1": "ISO-8859-1",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16BE",
    "utf-16-le": "UTF-16LE",
    "utf-32": "UTF-32",
}
"""Charsets that every Spark reads, keyed by Python's canonical name."""


def reader(spark: SparkSession, files: list[InputFile]) -> DataFrameReader:
    """Return a reader of everything below a directory.

    Spark descends into `key=value` folders by itself; it has to be asked to descend into others.
    """
    keyed = any("=" in file.below_listed.rpartition("/")[0] for file in files)
    return spark.read.option("recursiveFileLookup", not keyed)


def encoded_reader(spark: SparkSession, source: Source, files: list[InputFile]) -> DataFrameReader:
    """Return a reader of text in the source's encoding."""
    name = codecs.lookup(source.format.encoding).name
    if name not in _SPARK_CHARSETS:
        # Spark 4 accepts only the charsets on its own list unless this is set; 3.5 ignores the key.
        spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    return reader(spark, files).option("encoding", _SPARK_CHARSETS.get(name, source.format.encoding))


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
            raise missing_column(source, name, found, closest(name, found))


def missing_column(source: Source, name: str, found: Iterable[str], close: str | None) -> DataError:
    """Return the error for a column that the mapping reads and the files lack; `close` is what it may have meant."""
    names = sorted(found)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"did you mean {close}?" if close else "fix the mapping, or the format's separator and header"
    return DataError(
        f"source {source.name}: the mapping reads column {name}, which {source.path} lacks (it has {listed}); {hint}"
    )


def closest(name: str, found: Iterable[str]) -> str | None:
    """Return the name most like another one, whatever its case, spaces and underscores; None if none is close."""
    plain = {_plain(other): other for other in found}
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")
