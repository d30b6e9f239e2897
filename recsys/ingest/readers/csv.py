"""Reads CSV: every value as text, headers compared file by file, broken lines kept."""

from __future__ import annotations

from pyspark.sql import DataFrame, DataFrameReader, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import progress
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.readers.common import CORRUPT, encoded_reader, require_columns, with_origin


def read_csv(
    spark: SparkSession, source: Source, path: str | list[str], files: list[InputFile], *, base: str | None = None
) -> DataFrame:
    """Open CSV files; see `recsys.ingest.readers.open_source`."""
    names, comparable = _columns(spark, source, files)
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*names, CORRUPT]])
    frame = (
        _reader(spark, source, files, base=base)
        .schema(schema)
        .options(mode="PERMISSIVE", columnNameOfCorruptRecord=CORRUPT)
        .options(header=source.format.header, enforceSchema=not comparable)
        .csv(path)
    )
    # Folders such as dt=2024-05-01 add columns of their own.
    names += [name for name in frame.columns if name not in (*names, CORRUPT)]
    require_columns(source, names)
    return with_origin(frame, names, F.col(CORRUPT).isNotNull())


def _reader(spark: SparkSession, source: Source, files: list[InputFile], *, base: str | None = None) -> DataFrameReader:
    how = source.format
    return encoded_reader(spark, source, files, base=base).options(
        sep=how.separator, quote=how.quote, escape=how.escape, multiLine=how.multiline, maxCharsPerColumn=-1
    )


def _columns(spark: SparkSession, source: Source, files: list[InputFile]) -> tuple[list[str], bool]:
    """Return the columns' names, and whether Spark can compare the header of each file with them."""
    if source.format.names:
        return list(source.format.names), source.format.header
    first = min((file for file in files if file.size), key=lambda file: file.path)
    rows = _reader(spark, source, files).csv(first.path)
    header = rows.head() if rows.columns else None
    names = _as_written(header)
    if names is None:
        names = _reader(spark, source, files).option("header", True).csv(first.path).columns
    _refuse_empty_or_json(source, first, names)
    comparable = header is not None and list(header) == names
    if not comparable:
        progress.note(f"source {source.name}: some columns have no name of their own; headers are not compared")
    return names, comparable


def _as_written(header: Row | None) -> list[str] | None:
    """Return the names of a header that Spark would keep; it makes up names for columns without one or a repeated one.

    Parameters
    ----------
    header : Row, optional
        The header, read as a row.
    """
    cells = list(header) if header is not None else []
    distinct = {cell.lower() for cell in cells if cell}
    return cells if cells and len(distinct) == len(cells) else None


def _refuse_empty_or_json(source: Source, file: InputFile, names: list[str]) -> None:
    if not names:
        raise DataError(f"source {source.name}: {file.path} is empty, it has not even a header; deliver it again")
    if names[0].lstrip().startswith(("{", "[")):
        raise DataError(f"source {source.name}: {file.path} looks like JSON, the mapping says csv; set format: json")
