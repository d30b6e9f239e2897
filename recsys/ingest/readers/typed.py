"""Reads files that bring types along (Parquet, ORC, Avro): the columns of all files together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.data.sql import quote
from recsys.errors import EnvironmentProblem
from recsys.ingest import values
from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.readers.common import Wanted, named, reader, require_columns, with_origin
from recsys.ingest.readers.footers import stored_columns
from recsys.progress import note


@dataclass(frozen=True)
class _Opened:
    """Files of one schema.

    Attributes
    ----------
    frame : DataFrame
        Their rows, as Spark reads them.
    columns : dict of str to (str, DataType)
        By name, SQL for what is meant by a column, and its type.
    """

    frame: DataFrame
    columns: dict[str, tuple[str, T.DataType]]


def read_typed(spark: SparkSession, source: Source, wanted: Wanted) -> DataFrame:
    """Open Parquet, ORC or Avro files; see `recsys.ingest.readers.open_source`.

    A column that only some files have is null in the others. One that has another type in other files becomes text.
    """
    kind, full = source.format.type, wanted.only([file for file in wanted.files if file.size])
    if kind == "avro":
        _require_avro(spark)
    several = len(full.files) > 1
    if several and kind == "avro":
        return _united(source, _by_schema(spark, source, full), part=not wanted.whole)
    try:
        whole = wanted.reader(spark).option("mergeSchema", several).format(kind).load(wanted.paths)
    except Exception:  # types that differ, or that Spark refuses; any other reason turns up again
        return _united(source, _by_schema(spark, source, full), part=not wanted.whole)
    require_columns(source, whole.columns, part=not wanted.whole)
    return with_origin(whole, named(whole.columns), F.lit(False))


def _by_schema(spark: SparkSession, source: Source, wanted: Wanted) -> list[_Opened]:
    """Open files of the same schema together."""
    kind = source.format.type
    groups: dict[tuple[str, tuple[str, ...]], list[InputFile]] = {}
    for file in wanted.files:
        schema, meant = _schema(spark, kind, file)
        groups.setdefault((schema.json(), tuple(meant)), []).append(file)
    found = []
    for (written, templates), members in groups.items():
        schema = T.StructType.fromJson(json.loads(written))
        some = wanted.only(members)
        frame = some.reader(spark).schema(schema).format(kind)
        loaded = frame.load(some.paths)
        columns = {name: quote(name) for name in loaded.columns}
        columns |= {
            field.name: sql.format(quote(field.name)) for field, sql in zip(schema.fields, templates, strict=True)
        }
        typed = loaded.select(*(F.expr(sql).alias(name) for name, sql in columns.items())).schema
        found.append(_Opened(loaded, {field.name: (columns[field.name], field.dataType) for field in typed.fields}))
    return found


def _schema(spark: SparkSession, kind: str, file: InputFile) -> tuple[T.StructType, list[str]]:
    """Return what a file is to be read as, and for each column SQL that makes of it what it stands for."""
    try:
        schema = reader(spark, [file]).format(kind).load(file.path).schema
        return schema, ["{}"] * len(schema.fields)
    except Exception:
        if kind != "parquet":
            raise
        try:
            stored = stored_columns(file.path)
        except Exception:
            stored = {}
        if not stored:
            raise
    fields = [T.StructField(name, column.kind) for name, column in stored.items()]
    return T.StructType(fields), [column.meant for column in stored.values()]


def _united(source: Source, opened: Sequence[_Opened], *, part: bool) -> DataFrame:
    kinds: dict[str, list[T.DataType]] = {}
    for one in opened:
        for name, (_, kind) in one.columns.items():
            known = kinds.setdefault(name, [])
            known += [] if kind in known or isinstance(kind, T.NullType) else [kind]
    require_columns(source, list(kinds), part=part)
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    if mixed:
        note(f"source {source.name}: {', '.join(sorted(mixed))} not of one type in all files; read as text")
    frames = []
    for one in opened:
        columns = {
            name: F.expr(_as_text(sql, kind) if name in mixed else sql) for name, (sql, kind) in one.columns.items()
        }
        frames.append(with_origin(one.frame, columns, F.lit(False)))
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


def _as_text(value: str, kind: T.DataType) -> str:
    if isinstance(kind, T.ArrayType):
        return f"transform({value}, x -> {_as_text('x', kind.elementType)})"
    if isinstance(kind, T.TimestampType):
        return f"concat(CAST({value} AS STRING), 'Z')"
    text = values.typed(value, kind, "string", format=None, zone="UTC")
    return f"coalesce({text}, CAST({value} AS STRING))"


def _require_avro(spark: SparkSession) -> None:
    try:
        spark.read.format("avro").schema("a STRING").load([])
    except Exception as error:
        if "avro" in str(error).lower():
            scala = "2.13" if pyspark.__version__.startswith("4") else "2.12"
            raise EnvironmentProblem(
                "Avro files need Spark's own module for them, which this session lacks: add "
                f"org.apache.spark:spark-avro_{scala}:{pyspark.__version__} to spark.jars.packages, or its jar to "
                "spark.jars_dir"
            ) from error
