"""Intermediate results of a run, written beside the tables: later queries read files, not the plan behind them.

A frame that several queries read and that has many joins behind it makes each of their plans larger, cached or not,
until planning takes longer than computing. Files cut that, and survive the loss of an executor.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame

from recsys.store.files import directories, remove
from recsys.store.tables import Tables

FOLDER = "scratch"


@contextmanager
def scratch(tables: Tables, name: str) -> Iterator[Callable[[DataFrame], DataFrame]]:
    """Yield a function that writes a frame as Parquet and returns what reads it; all is removed when the block ends.

    Parameters
    ----------
    tables : Tables
        The warehouse.
    name : str
        What the results are of. Only one run at a time may work on it: what an earlier one left behind is removed.
    """
    spark, root = tables.spark, tables.path(FOLDER)
    for left in directories(spark, root, prefix=f"{name}-"):
        remove(spark, left)
    mine, written = f"{root}/{name}-{uuid.uuid4().hex[:8]}", 0

    def write(frame: DataFrame) -> DataFrame:
        nonlocal written
        written += 1
        path = f"{mine}/{written}"
        frame.write.mode("overwrite").parquet(path)
        return spark.read.schema(frame.schema).parquet(path)

    try:
        yield write
    finally:
        remove(spark, mine)
