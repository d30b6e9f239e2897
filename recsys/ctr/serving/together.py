"""Scoring by several heads at once: rows travel to the workers one time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.worker import probabilities
from recsys.data.callers import column_of
from recsys.spark import share


def score_heads(
    df: DataFrame, *, bundles: Mapping[str, ModelBundle], batch_size: int, keep: Sequence[str]
) -> DataFrame:
    """Add the calibrated probability of each head.

    Parameters
    ----------
    df : DataFrame
        Rows with the `source_columns` of every bundle's spec, and the columns to keep.
    bundles : mapping of str to ModelBundle
        By head.
    batch_size : int
        Rows computed at once.
    keep : sequence of str
        Columns of `df` that the result has.

    Returns
    -------
    DataFrame
        `keep`, then `p_<head>` for each head, 0 to 1.

    Raises
    ------
    DataError
        If a column is missing.
    """
    needed = dict.fromkeys([*keep, *(name for one in bundles.values() for name in one.spec.source_columns)])
    rows = df.select(*(column_of(df, name) for name in needed))
    figures = [T.StructField(f"p_{head}", T.DoubleType(), False) for head in bundles]
    files = share(df.sparkSession, {head: bundle.files for head, bundle in bundles.items()})
    networks, kept = {head: bundle.network for head, bundle in bundles.items()}, list(keep)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                columns = [batch.column(name) for name in kept]
                for head, network in networks.items():
                    columns.append(probabilities(batch, files.value[head], network=network, batch_size=batch_size))
                yield pa.RecordBatch.from_arrays(columns, names=[*kept, *(f"p_{head}" for head in networks)])

    return rows.mapInArrow(run, T.StructType([*(df.schema[name] for name in keep), *figures]))
