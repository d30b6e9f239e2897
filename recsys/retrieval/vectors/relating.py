"""Factors of users and items brought together pair by pair, in joins: for any number of items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.frames import latest_first
from recsys.retrieval.vectors.affinity import RECENT, affinities, centroids, dense

_CENTROIDS = "user_id string, recent array<double>"
_RELATED = "user_id string, item_id string, score double, cosine double, recent double"
_ROWS = 4096
"""Pairs that are worked on at once: each brings three vectors."""


def related(pairs: DataFrame, user_factors: DataFrame, item_factors: DataFrame, histories: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score, cosine, recent`, as the kernel computes them.

    Parameters
    ----------
    pairs : DataFrame
        Distinct `user_id, item_id`.
    user_factors, item_factors : DataFrame
        `<id>, factors`; distinct ids.
    histories : DataFrame
        `user_id, item_id, weight, last_time`; items of interest have a weight above 0.
    """
    of_items = item_factors.select("item_id", F.col("factors").alias("of_item"))
    rows = (
        pairs.join(user_factors.select("user_id", F.col("factors").alias("of_user")), on="user_id", how="left")
        .join(recent_vectors(pairs, item_factors, histories), on="user_id", how="left")
        .join(of_items, on="item_id", how="left")
        .select("user_id", "item_id", "of_user", "recent", "of_item")
    )
    return relate(rows)


def relate(rows: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score, cosine, recent` of rows `user_id, item_id, of_user, recent, of_item`."""
    return rows.mapInArrow(_relate, _RELATED)


def recent_vectors(
    users: DataFrame, item_factors: DataFrame, histories: DataFrame, *, most: int = RECENT, decay: float = 1.0
) -> DataFrame:
    """Return `user_id, recent`: the centroid of the `most` latest items of each user that have factors.

    See `recsys.retrieval.vectors.affinity.centroids`.
    """
    mine = histories.where(F.col("weight") > 0).join(users.select("user_id"), on="user_id", how="left_semi")
    latest = (
        mine.join(item_factors.select("item_id", "factors"), on="item_id", how="inner")
        .withColumn("place", F.row_number().over(latest_first()))
        .where(F.col("place") <= most)
    )
    listed = latest.groupBy("user_id").agg(F.array_sort(F.collect_list(F.struct("place", "factors"))).alias("latest"))
    return listed.select("user_id", F.col("latest.factors").alias("factors")).mapInArrow(
        partial(_centers, most, decay), _CENTROIDS
    )


def _centers(most: int, decay: float, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        lengths, factors = arrow.flat(batch["factors"])
        user = np.repeat(np.arange(batch.num_rows), lengths)
        vectors = arrow.matrix(factors)
        found = centroids(user, np.arange(len(user)), vectors, batch.num_rows, most=most, decay=decay)
        offsets = pa.array(np.arange(batch.num_rows + 1) * vectors.shape[1], pa.int32())
        rows = pa.ListArray.from_arrays(offsets, pa.array(found.ravel(), pa.float64()))
        yield pa.RecordBatch.from_arrays([batch["user_id"], rows], names=["user_id", "recent"])


def _relate(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            yield _related(batch.slice(start, _ROWS))


def _related(batch: pa.RecordBatch) -> pa.RecordBatch:
    lengths = [arrow.flat(batch[name])[0] for name in ("of_user", "recent", "of_item")]
    width = max(1, *(int(length.max(initial=0)) for length in lengths))
    users, recent, items = (dense(batch[name], width) for name in ("of_user", "recent", "of_item"))
    every = np.arange(batch.num_rows)
    found = affinities(users, recent, items, every, np.where(lengths[2] > 0, every, -1))
    columns = [pa.array(found[what], pa.float64(), from_pandas=True) for what in ("score", "cosine", "recent")]
    names = ["user_id", "item_id", "score", "cosine", "recent"]
    return pa.RecordBatch.from_arrays([batch["user_id"], batch["item_id"], *columns], names=names)
