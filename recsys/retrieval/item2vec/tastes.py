"""Tastes of users, and cosines of pairs, in joins: for any number of items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.item2vec.kernel import unit
from recsys.retrieval.vectors.affinity import dense
from recsys.retrieval.vectors.relating import recent_vectors, relate

_TASTES = "user_id string, factors array<float>"


def tastes(users: DataFrame, vectors: DataFrame, histories: DataFrame, *, recent_items: int, decay: float) -> DataFrame:
    """Return `user_id, factors`: the direction of each user's latest items, of length 1; users without are left out.

    Parameters
    ----------
    users : DataFrame
        `user_id`.
    vectors : DataFrame
        `item_id, vector`; distinct items.
    histories : DataFrame
        `user_id, item_id, weight, last_time`.
    recent_items : int
        Latest items with a vector that count.
    decay : float
        How much an item counts for each one that was touched later.
    """
    factors = vectors.select("item_id", F.col("vector").alias("factors"))
    found = recent_vectors(users, factors, histories, most=recent_items, decay=decay)
    return found.mapInArrow(_units, _TASTES)


def cosines(pairs: DataFrame, of_users: DataFrame, vectors: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score`: null where the user has no taste or the item no vector.

    Parameters
    ----------
    pairs : DataFrame
        Distinct `user_id, item_id`.
    of_users : DataFrame
        What `tastes` returns.
    vectors : DataFrame
        `item_id, vector`.
    """
    mine = of_users.select("user_id", F.col("factors").alias("of_user"), F.col("factors").alias("recent"))
    items = vectors.select("item_id", F.col("vector").alias("of_item"))
    rows = pairs.join(mine, on="user_id", how="left").join(items, on="item_id", how="left")
    return relate(rows.select("user_id", "item_id", "of_user", "recent", "of_item")).select(
        "user_id", "item_id", "score"
    )


def _units(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        lengths, _ = arrow.flat(batch["recent"])
        known, found = unit(dense(batch["recent"], int(lengths.max(initial=1))))
        offsets = pa.array(np.arange(len(known) + 1) * found.shape[1], pa.int32())
        rows = pa.ListArray.from_arrays(offsets, pa.array(found.ravel(), pa.float32()))
        yield pa.RecordBatch.from_arrays([batch["user_id"].take(pa.array(known)), rows], names=["user_id", "factors"])
