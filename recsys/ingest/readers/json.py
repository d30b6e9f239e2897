"""Reads JSON lines: the keys that the mapping names, as text, lists as lists, broken lines kept."""

from __future__ import annotations

import json
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import progress
from recsys.ingest.dataset import Source
from recsys.ingest.encodings import java_name
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import BROKEN, FILE, RAW
from recsys.ingest.readers.common import CORRUPT, NEAR, encoded_reader, missing_column, reader, with_origin
from recsys.settings import closest

_HEAD_LINES: Final = 500


def read_json(
    spark: SparkSession, source: Source, path: str | list[str], files: list[InputFile], *, base: str | None = None
) -> DataFrame:
    """Open files of one JSON object per line; see `recsys.ingest.readers.open_source`."""
    names = sorted(source.source_columns())
    schema = _schema(source, names)
    if java_name(source.format.encoding) != "UTF-8":
        encoded = encoded_reader(spark, source, files, base=base).schema(schema).option("lineSep", "\n")
        frame = encoded.option("columnNameOfCorruptRecord", CORRUPT).json(path)
        return with_origin(frame, names, F.col(CORRUPT).isNotNull())
    lines = reader(spark, files, base=base).text(path)
    _check_keys(source, names, lines)
    return _parsed(lines, names, schema)


def _schema(source: Source, names: list[str]) -> T.StructType:
    lists = source.list_columns()
    fields = [T.StructField(name, T.ArrayType(T.StringType()) if name in lists else T.StringType()) for name in names]
    return T.StructType([*fields, T.StructField(CORRUPT, T.StringType())])


def _parsed(lines: DataFrame, names: list[str], schema: T.StructType) -> DataFrame:
    record = F.from_json("value", schema, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT})
    parsed = lines.where(F.length(F.trim("value")) > 0).select(
        F.col("value").alias(RAW), F.col("_metadata.file_path").alias(FILE), record.alias("__record")
    )
    # Spark takes the first object of a list, and ignores what follows an object: neither is one object per line.
    whole = F.ltrim(F.col(RAW)).startswith("{") & F.rtrim(F.col(RAW)).endswith("}")
    broken = F.col("__record").isNull() | F.col("__record").getField(CORRUPT).isNotNull() | ~whole
    columns = [F.col("__record").getField(name).alias(name) for name in names]
    return parsed.select(*columns, RAW, FILE, broken.alias(BROKEN))


def _check_keys(source: Source, names: list[str], lines: DataFrame) -> None:
    """Compare the mapping with the keys of the first lines, since JSON has no header to check.

    Raises
    ------
    DataError
        If a key is missing and another one is so close that the mapping must mean it.
    """
    keys: set[str] = set()
    # One task reads file after file until it has enough lines; Spark alone would start with a part and come back.
    for row in lines.coalesce(1).limit(_HEAD_LINES).collect():
        try:
            record = json.loads(row["value"])
        except ValueError:
            continue
        keys |= record.keys() if isinstance(record, dict) else set()
    for name in names if keys else ():
        if name in keys:
            continue
        close = closest(name, keys - set(names), cutoff=NEAR)
        if close:
            raise missing_column(source, name, keys, close)
        progress.note(f"source {source.name}: no {name} in the first {_HEAD_LINES} lines; taken as an optional key")
