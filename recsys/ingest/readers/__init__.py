"""One reader per kind of file: a source's files in, a frame with its own columns, `RAW`, `FILE` and `BROKEN` out."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.ingest.dataset import Source
from recsys.ingest.drift import with_others
from recsys.ingest.files import InputFile
from recsys.ingest.readers.common import Wanted, named, refuse_twins, require_columns, with_origin
from recsys.ingest.readers.csv import read_csv
from recsys.ingest.readers.json import read_json
from recsys.ingest.readers.typed import read_typed
from recsys.progress import note


def open_source(
    spark: SparkSession,
    source: Source,
    path: str,
    files: Sequence[InputFile],
    *,
    every: Sequence[InputFile] | None = None,
) -> DataFrame:
    """Open the files of a source, each by the reader of its format.

    Parameters
    ----------
    path : str
        The Delta table that holds the source; of other formats, where the files were looked for.
    files : sequence of InputFile
        What is to be read; at least one file that is not empty.
    every : sequence of InputFile, optional
        What lies there, if that is more. Columns that a row can do without are null if these files lack them.

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
    if source.format.type == "delta":
        frame = spark.read.format("delta").load(path)
        require_columns(source, frame.columns)
        return with_others(with_origin(frame, named(frame.columns), F.lit(False)), source)
    wanted = Wanted(files, every or files)
    read = {"json": read_json, "csv": read_csv}.get(source.format.type, read_typed)
    frame = read(spark, source, wanted)
    lacking = sorted(source.source_columns() - set(frame.columns))
    if lacking:
        note(f"source {source.name}: the files that are new have no {', '.join(lacking)}; null in their rows")
    return with_others(frame.withColumns({name: F.lit(None).cast("string") for name in lacking}), source)
