"""Exact top-k from factors on executors: a kernel inside `mapInArrow`, item factors broadcast, no shuffle of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.retrieval.frames import first_k
from recsys.retrieval.kernels import Excluded, Ints
from recsys.retrieval.vectors.search import ItemMatrix, search
from recsys.spark import share

SCHEMA = "user_id string, item_id string, rank int, score double"
_ID_BYTES = 40
"""What an item's id costs beside its factors."""
_BATCH = 1024
"""Users that one kernel call works on."""


@dataclass
class Block:
    """Items that are searched together: their ids in order, where each `idx` stands, their factors."""

    ids: pa.Array
    places: NDArray[np.int32]
    items: ItemMatrix

    def positions(self, idx: NDArray[np.int64]) -> Ints:
        """Position of each `idx`; -1 for items of other blocks."""
        known = (idx >= 0) & (idx < len(self.places))
        return np.where(known, self.places[np.where(known, idx, 0)], -1).astype(np.int64)


def top_k(
    users: DataFrame,
    items: DataFrame,
    *,
    k: int,
    exclude: DataFrame | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Return the `k` items with the largest inner product for each user: exact, ties by item id.

    Parameters
    ----------
    users : DataFrame
        `user_id, factors`; distinct users.
    items : DataFrame
        `idx, item_id, factors`; distinct items, the eligible ones only.
    k : int
        Most rows per user; a user who has fewer items left gets those.
    exclude : DataFrame, optional
        `user_id, item_id` pairs left out.
    broadcast_limit_mb : float
        Largest block of items that is broadcast; more are searched in blocks whose results are merged.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score`; ranks dense from 1. The same rows whatever the limit.
    """
    size = items.agg(F.count("*").alias("n"), F.coalesce(F.max(F.size("factors")), F.lit(1)).alias("width")).collect()[
        0
    ]
    tiles = arrow.tiles_for(size["n"] * (size["width"] * 4 + _ID_BYTES), broadcast_limit_mb)
    packed = users.select("user_id", "factors")
    if exclude is None:
        packed = packed.withColumn("excluded", F.array().cast("array<int>"))
    else:
        packed = packed.join(excluded_idx(exclude, items), on="user_id", how="left")
    if tiles == 1:
        return search_packed(packed, items, k)
    tile = F.pmod(F.xxhash64("item_id"), F.lit(tiles))
    found = search_packed(packed, items.where(tile == 0), k)
    for i in range(1, tiles):
        found = found.unionByName(search_packed(packed, items.where(tile == i), k))
    return first_k(found.drop("rank"), k)


def excluded_idx(exclude: DataFrame, items: DataFrame) -> DataFrame:
    """Gather each user's excluded items as `excluded`, an array of `idx`."""
    return (
        exclude.join(items.select("item_id", "idx"), on="item_id", how="inner")
        .groupBy("user_id")
        .agg(F.collect_list("idx").alias("excluded"))
    )


def load_block(items: DataFrame) -> Block:
    """Bring items to the driver as one block, sorted by id."""
    table = arrow.collect_arrow(items.select("idx", "item_id", "factors"))
    if not table.num_rows:
        return Block(
            pa.array([], pa.string()),
            np.full(1, -1, np.int32),
            ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32)),
        )
    table = table.sort_by("item_id")
    idx = table["idx"].to_numpy()
    places = np.full(int(idx.max()) + 1, -1, dtype=np.int32)
    places[idx] = np.arange(len(idx))
    vectors = arrow.matrix(table["factors"])
    return Block(table["item_id"].combine_chunks(), places, ItemMatrix(np.arange(len(idx), dtype=np.int64), vectors))


def search_packed(packed: DataFrame, items: DataFrame, k: int) -> DataFrame:
    """Search one block of items: they come to the driver, and are broadcast.

    Parameters
    ----------
    packed : DataFrame
        `user_id, factors, excluded`: distinct users, each with an array of `idx` that are left out, or null.
    items : DataFrame
        `idx, item_id, factors`.
    k : int
        Most rows per user.
    """
    block: Broadcast[Block] = share(packed.sparkSession, load_block(items))
    return packed.mapInArrow(_searcher(block, k), SCHEMA)


def _searcher(block: Broadcast[Block], k: int) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        here = block.value
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH):
                yield _recommend(here, batch.slice(start, _BATCH), k)

    return run


def _recommend(block: Block, batch: pa.RecordBatch, k: int) -> pa.RecordBatch:
    lengths, values = arrow.flat(batch["excluded"])
    user = np.repeat(np.arange(batch.num_rows), lengths)
    item = block.positions(values.to_numpy(zero_copy_only=False).astype(np.int64))
    excluded = Excluded(user, item, batch.num_rows, max(1, len(block.ids)))
    found = search(block.items, np.arange(batch.num_rows), arrow.matrix(batch["factors"]), k=k, excluded=excluded)
    return pa.RecordBatch.from_arrays(
        [
            batch["user_id"].take(pa.array(found.user)),
            block.ids.take(pa.array(found.item)),
            pa.array(found.rank, pa.int32()),
            pa.array(found.score),
        ],
        names=["user_id", "item_id", "rank", "score"],
    )
