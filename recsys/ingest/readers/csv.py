"""Reads CSV: every value as text, the columns of all headers together, broken lines kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import progress
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.encodings import java_name
from recsys.ingest.files import InputFile
from recsys.ingest.mappable import BROKEN, FILE, RAW
from recsys.ingest.places import as_named
from recsys.ingest.readers.common import (
    CORRUPT,
    Wanted,
    listed,
    named,
    require_columns,
    whole,
    with_origin,
)
from recsys.ingest.readers.heads import WIDE, by_head, head


def read_csv(spark: SparkSession, source: Source, wanted: Wanted) -> DataFrame:
    """Open CSV files, those of each header by themselves; see `recsys.ingest.readers.open_source`."""
    if not any(file.size for file in wanted.files):
        raise DataError(f"source {source.name}: {source.path} is empty, it has not even a header; deliver it again")
    declared = java_name(source.format.encoding)
    groups = by_head(spark, wanted.files, declared=declared, headers=source.format.header)
    alike = len(groups) == 1
    opened = [
        _opened(spark, source, members, wanted=wanted if alike else wanted.only(members), encoding=encoding)
        for (encoding, _), members in groups.items()
    ]
    names = list(dict.fromkeys(name for frame in opened for name in frame.columns if name not in (RAW, FILE, BROKEN)))
    require_columns(source, names, part=not wanted.whole)
    for frame, members in zip(opened, groups.values(), strict=True):
        _require_needed(source, frame.columns, members[0])
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), opened)


def _opened(
    spark: SparkSession, source: Source, members: list[InputFile], *, wanted: Wanted, encoding: str
) -> DataFrame:
    """Open files of one header; `members` are those that are not empty."""
    how = _options(source, encoding)
    names, comparable = _columns(spark, source, members, encoding, how)
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*names, CORRUPT]])
    frame = (
        wanted.encoded_reader(spark, encoding)
        .options(encoding=encoding, **how)
        .schema(schema)
        .options(mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
        .options(header=source.format.header, enforceSchema=not comparable)
        .csv(wanted.paths)
    )
    # Folders such as dt=2024-05-01 add columns of their own.
    names += [name for name in frame.columns if name not in (*names, CORRUPT)]
    return with_origin(frame, named(names), F.col(CORRUPT).isNotNull())


def _options(source: Source, encoding: str) -> dict[str, Any]:
    how = source.format
    return {
        "sep": how.separator,
        "quote": how.quote,
        "escape": how.escape,
        "multiLine": how.multiline or encoding.startswith(WIDE),
        "maxCharsPerColumn": -1,
    }


def _columns(
    spark: SparkSession, source: Source, files: list[InputFile], encoding: str, how: dict[str, Any]
) -> tuple[list[str], bool]:
    """Return the columns' names, and whether Spark can compare the header of each file with them."""
    if source.format.names:
        return list(source.format.names), source.format.header
    first = files[0]
    if how["multiLine"] and as_named(first.path) != first.path:
        header, names = _from_text(spark, first, encoding, how)
    else:
        rows = whole([first]).encoded_reader(spark, encoding).options(**how).csv(first.path)
        header = list(rows.head() or ()) if rows.columns else []
        names = header if _distinct(header) else _made_up(spark, first, encoding, how)
    _refuse_empty_or_json(source, first, names)
    comparable = header == names
    if not comparable:
        progress.note(f"source {source.name}: some columns have no name of their own; headers are not compared")
    return names, comparable


def _distinct(header: list[str]) -> bool:
    """Tell whether Spark would keep the names of a header; it makes up names for columns without, or with a twin."""
    return bool(header) and len({cell.lower() for cell in header if cell}) == len(header)


def _made_up(spark: SparkSession, file: InputFile, encoding: str, how: dict[str, Any]) -> list[str]:
    return whole([file]).encoded_reader(spark, encoding).options(**how).option("header", True).csv(file.path).columns


def _from_text(spark: SparkSession, file: InputFile, encoding: str, how: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return a header and the columns' names; Spark takes brackets in a path for a glob where rows are long.

    Parameters
    ----------
    file : InputFile
        Its first line is a whole header.
    """
    line = F.lit(head(spark, file).decode(encoding, "replace").lstrip("\ufeff").rstrip("\r\n"))
    options = {key: str(how[key]) for key in ("sep", "quote", "escape")}
    kind = str(spark.range(1).select(F.schema_of_csv(line, options)).first()[0])  # type: ignore[index]
    count = kind.count("_c")
    schema = ", ".join(f"_c{at} STRING" for at in range(count))
    row = spark.range(1).select(F.from_csv(line, schema, options).alias("header")).first()
    header = list(row["header"]) if row is not None else []
    return header, header if _distinct(header) else [cell or f"_c{at}" for at, cell in enumerate(header)]


def _refuse_empty_or_json(source: Source, file: InputFile, names: list[str]) -> None:
    if not names:
        raise DataError(f"source {source.name}: {file.path} is empty, it has not even a header; deliver it again")
    if names[0].lstrip().startswith(("{", "[")):
        raise DataError(f"source {source.name}: {file.path} looks like JSON, the mapping says csv; set format: json")


def _require_needed(source: Source, names: Sequence[str], file: InputFile) -> None:
    """Check that files with a header of their own have what no row can do without; other columns may be missing."""
    lacking = sorted(source.needed_columns() - set(names))
    if lacking:
        raise DataError(
            f"source {source.name}: {file.path} has a different header from the source's other files, without column "
            f"{lacking[0]} (it has {listed(name for name in names if name not in (RAW, FILE, BROKEN))}); "
            "give it a source of its own"
        )
