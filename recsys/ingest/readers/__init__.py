"""One reader per kind of file: a source's files in, a frame with its own columns, `RAW`, `FILE` and `BROKEN` out."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.ingest.dataset import Source
from recsys.ingest.files import InputFile
from recsys.ingest.readers.common import named, refuse_twins, require_columns, with_origin
from recsys.ingest.readers.csv import read_csv
from recsys.ingest.readers.json import read_json
from recsys.ingest.readers.typed import read_typed


def open_source(spark: SparkSession, source: Source, path: str, files: list[InputFile]) -> DataFrame:
    """Open the files of a source, each by the reader of its format.

    Parameters
    ----------
    path : str
        The Delta table that holds the source; of other formats, where the files were looked for.
    files : list of InputFile
        What lies there; at least one file that is not empty.

    Returns
    -------
    DataFrame
        The source's own columns, each row as it was read (`RAW`), its file (`FILE`), and whether it can't be parsed
        (`BROKEN`).

    Raises
    ------
    DataError
        If the files lack a column that the mapping reads, or are in another format.
    EnvironmentProblem
        If Spark lacks the module that reads a format.
    """
    refuse_twins(spark, source)
    kind = source.format.type
    if kind == "json":
        return read_json(spark, source, files)
    if kind == "csv":
        return read_csv(spark, source, files)
    if kind != "delta":
        return read_typed(spark, source, files)
    frame = spark.read.format("delta").load(path)
    require_columns(source, frame.columns)
    return with_origin(frame, named(frame.columns), F.lit(False))
