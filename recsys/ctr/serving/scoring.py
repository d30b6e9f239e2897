"""Scoring a DataFrame on executors: the bundle travels as bytes; spec and network are those of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.worker import score_batches
from recsys.data.callers import column_of
from recsys.spark import share


def score(
    df: DataFrame,
    *,
    bundle: ModelBundle,
    batch_size: int,
    keep: Sequence[str],
    figures: Sequence[str] = ("prediction", "logit"),
) -> DataFrame:
    """Score every row.

    Parameters
    ----------
    df : DataFrame
        Rows with the bundle's `spec.source_columns` and the columns to keep.
    batch_size : int
        Rows computed at once.
    keep : sequence of str
        Columns of `df` that the result has.
    figures : sequence of str
        Scores that the result has: `prediction` (calibrated probability, 0 to 1), `logit` (of the network, before
        calibration).

    Returns
    -------
    DataFrame
        `keep`, then `figures`; one row per row of `df`. A row's scores do not depend on the rows around it.

    Raises
    ------
    DataError
        If a column is missing.
    """
    needed = list(dict.fromkeys([*keep, *bundle.spec.source_columns]))
    rows = df.select(*(column_of(df, name) for name in needed))
    schema = T.StructType(
        [df.schema[name] for name in keep] + [T.StructField(name, T.DoubleType(), False) for name in figures]
    )
    files, network = share(df.sparkSession, bundle.files), bundle.network
    kept, shown = list(keep), list(figures)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return score_batches(batches, files.value, network=network, batch_size=batch_size, keep=kept, figures=shown)

    return rows.mapInArrow(run, schema)
