"""Reads JSON lines: the keys that the mapping names, as text, lists as lists, broken lines kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import progress
from recsys.ingest.dataset import Source
from recsys.ingest.drift import present
from recsys.ingest.encodings import java_name
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import BROKEN, FILE, OTHERS, RAW
from recsys.ingest.readers.common import CORRUPT, NEAR, Wanted, missing_column, named, require_columns, with_origin
from recsys.ingest.readers.heads import WIDE, head, marked_encoding
from recsys.ingest.values import SPACES, trimmed
from recsys.settings import closest

_HEAD_LINES: Final = 500
_LINE, _RECORD = "__line", "__record"
_PATH: Final = "_metadata.file_path"
_ENDS: Final = "," + SPACES
"""What may follow an object on its line: programs that print a list put commas there."""


def read_json(spark: SparkSession, source: Source, wanted: Wanted) -> DataFrame:
    """Open files of one JSON object per line; see `recsys.ingest.readers.open_source`."""
    names = sorted(source.source_columns())
    require_columns(source, names)
    schema = _schema(source, names)
    declared = java_name(source.format.encoding)
    start = head(spark, _first(wanted.files)) if declared.startswith("UTF-") else b""
    encoding = marked_encoding(start, declared)
    if encoding == "UTF-8":
        lines = wanted.reader(spark).text(wanted.paths).select(F.col("value").alias(RAW), F.col(_PATH).alias(FILE))
    elif encoding.startswith(WIDE):
        lines = _wide(spark, wanted, encoding, start)
    else:
        encoded = wanted.encoded_reader(spark, encoding).schema(schema).option("lineSep", "\n")
        frame = encoded.option("columnNameOfCorruptRecord", CORRUPT).json(wanted.paths)
        return with_origin(frame, named(names), F.col(CORRUPT).isNotNull())
    keys = _check_keys(source, names, lines)
    parsed = _parsed(lines, names, schema, others=source.new_columns == "attributes")
    # Keys that the mapping does not read are columns without values: only their names matter.
    taken = {name.lower() for name in (*names, *parsed.columns)}
    more = {key.lower(): key for key in sorted(keys) if key.lower() not in taken}
    return parsed.select("*", *(F.lit(None).cast("string").alias(key) for key in more.values()))


def _first(files: Sequence[InputFile]) -> InputFile:
    return next((file for file in files if file.size), files[0])


def _wide(spark: SparkSession, wanted: Wanted, encoding: str, start: bytes) -> DataFrame:
    """Read lines of UTF-16 or UTF-32; without an order of bytes Spark could not tell where they end."""
    if not encoding.endswith(("LE", "BE")):
        encoding += "BE" if start.startswith((b"\xfe\xff", b"\x00\x00\xfe\xff")) else "LE"
    # Spark 4 would end the run at a wrong byte; 3.5 ignores the key.
    spark.conf.set("spark.sql.legacy.codingErrorAction", "true")
    found = wanted.encoded_reader(spark, encoding).options(encoding=encoding, lineSep="\n").text(wanted.paths)
    return found.select(F.decode(F.col("value").cast("binary"), encoding).alias(RAW), F.col(_PATH).alias(FILE))


def _schema(source: Source, names: list[str]) -> T.StructType:
    lists = source.list_columns()
    fields = [T.StructField(name, T.ArrayType(T.StringType()) if name in lists else T.StringType()) for name in names]
    return T.StructType([*fields, T.StructField(CORRUPT, T.StringType())])


def _parsed(lines: DataFrame, names: list[str], schema: T.StructType, *, others: bool) -> DataFrame:
    how = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    parsed = _tidied(lines)
    parsed = parsed.where(F.col(_LINE) != "").select("*", F.from_json(_LINE, schema, how).alias(_RECORD))
    record, line = F.col(_RECORD), F.col(_LINE)
    # Spark takes the first object of a list, and ignores what follows an object: neither is one object per line.
    whole = line.startswith("{") & line.endswith("}") & _single(line)
    broken = record.isNull() | record.getField(CORRUPT).isNotNull() | ~whole
    columns = [record.getField(name).alias(name) for name in names]
    if others:
        every = F.from_json(_LINE, "map<string,string>")
        left = F.map_filter(every, lambda key, _: ~key.isin(*names))
        columns.append(present(left).alias(OTHERS))
    return parsed.select(*columns, RAW, FILE, broken.alias(BROKEN))


def _tidied(lines: DataFrame) -> DataFrame:
    """Add lines without white space and commas around objects, and without the brackets of a list over many lines.

    Parameters
    ----------
    lines : DataFrame
        With `RAW`.
    """
    raw, inner = F.col(RAW), F.col(_LINE)
    plain = raw.startswith("{") & raw.endswith("}")
    bare = F.when(plain, raw).otherwise(F.expr(trimmed(trimmed(RAW), ends=_ENDS)))
    length = F.length(inner)
    whole = (
        F.when(inner.isin("[", "]"), "")
        .when(inner.startswith("[") & ~inner.endswith("]"), inner.substr(F.lit(2), length))
        .when(inner.startswith("{") & inner.endswith("}]"), inner.substr(F.lit(1), length - 1))
        .otherwise(inner)
    )
    return lines.select("*", bare.alias(_LINE)).withColumn(_LINE, whole)


def _single(line: Column) -> Column:
    """Whether a line holds no more than one object; only lines with an inner `}` are looked at again."""
    listed = F.concat(F.lit("["), line, F.lit("]"))
    count = F.json_array_length(listed)
    # Counting is strict: it knows no NaN.
    lenient = F.size(F.from_json(listed, T.ArrayType(T.StructType([T.StructField("a", T.StringType())]))))
    more = F.instr(line, "}") < F.length(line)
    return F.when(more, F.coalesce(count, lenient) == 1).otherwise(True)


def _check_keys(source: Source, names: list[str], lines: DataFrame) -> set[str]:
    """Compare the mapping with the keys of the first lines, which are returned, since JSON has no header to check.

    Raises
    ------
    DataError
        If a key is missing from all lines and another one is so close that the mapping must mean it.
    """
    keys: set[str] = set()
    # One task reads file after file until it has enough lines; Spark alone would start with a part and come back.
    for row in _tidied(lines).coalesce(1).limit(_HEAD_LINES).collect():
        try:
            record = json.loads(row[_LINE])
        except ValueError:
            continue
        keys |= record.keys() if isinstance(record, dict) else set()
    for name in names if keys else ():
        if name in keys:
            continue
        close = closest(name, keys - set(names), cutoff=NEAR)
        if close and not _occurs(lines, name):
            raise missing_column(source, name, keys, close)
        progress.note(f"source {source.name}: no {name} in the first {_HEAD_LINES} lines; taken as an optional key")
    return keys


def _occurs(lines: DataFrame, name: str) -> bool:
    """Look for a key in all lines, as text."""
    return not lines.where(F.col(RAW).rlike(f'"{re.escape(name)}"[ \t]*:')).limit(1).isEmpty()
