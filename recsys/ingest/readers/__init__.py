"""One reader per file format: a source's files in, a frame with its own columns, `RAW`, `FILE` and `BROKEN` out."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.readers.common import reader, require_columns, with_origin
from recsys.ingest.readers.csv import read_csv
from recsys.ingest.readers.json import read_json


def open_source(
    spark: SparkSession, source: Source, path: str | list[str], files: list[InputFile], *, base: str | None = None
) -> DataFrame:
    """Open the files of a source, each by the reader of its format.

    Parameters
    ----------
    path : str or list of str
        The file, directory, glob or Delta table that holds the source, or its files one by one.
    files : list of InputFile
        What lies there.
    base : str, optional
        Of single files: the directory below which folders such as `dt=2024-05-01` give columns.

    Returns
    -------
    DataFrame
        The source's own columns, each row as it was read (`RAW`), its file (`FILE`), and whether it can't be parsed
        (`BROKEN`).

    Raises
    ------
    DataError
        If the files lack a column that the mapping reads, or are in another format.
    """
    kind = source.format.type
    if kind == "json":
        return read_json(spark, source, path, files, base=base)
    if kind == "csv":
        return read_csv(spark, source, path, files, base=base)
    if kind == "parquet":
        frame = reader(spark, files, base=base).parquet(*([path] if isinstance(path, str) else path))
    else:
        frame = spark.read.format("delta").load(path)
    require_columns(source, frame.columns)
    return with_origin(frame, frame.columns, F.lit(False))
