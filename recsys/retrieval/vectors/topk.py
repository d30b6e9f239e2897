"""Top-k from factors on executors: a kernel inside `mapInArrow`, item factors broadcast, no shuffle of scores.

Item factors above the broadcast limit go to executors in blocks, never through the driver: see `blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.retrieval.frames import first_k
from recsys.retrieval.vectors.block import SCHEMA, Block
from recsys.retrieval.vectors.blocks import search_blocks
from recsys.retrieval.vectors.graph import Approximate
from recsys.retrieval.vectors.search import ItemMatrix
from recsys.sharing import Shared
from recsys.spark import share

_ID_BYTES = 40
"""What an item's id costs beside its factors."""

GraphOf = Callable[[ItemMatrix, float], Approximate | None]
"""Links items, if they are to be searched so: their factors, and the broadcast limit in MB."""


def top_k(
    users: DataFrame,
    items: DataFrame,
    *,
    k: int,
    exclude: DataFrame | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
    graph_of: GraphOf | None = None,
) -> DataFrame:
    """Return the `k` items with the largest inner product for each user: ties by item id, exact but for `graph_of`.

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
    graph_of : function, optional
        How a retriever with `search` links items that fit the limit; exact without, and above the limit.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score`; ranks dense from 1. Exact search gives the same rows whatever the limit.
    """
    size = items.agg(F.count("*").alias("n"), F.coalesce(F.max(F.size("factors")), F.lit(1)).alias("width")).collect()[
        0
    ]
    blocks = arrow.tiles_for(size["n"] * (size["width"] * 4 + _ID_BYTES), broadcast_limit_mb)
    packed = users.select("user_id", "factors")
    if exclude is None:
        packed = packed.withColumn("excluded", F.array().cast("array<int>"))
    else:
        packed = packed.join(excluded_idx(exclude, items), on="user_id", how="left")
    if blocks == 1:
        return search_packed(packed, items, k, graph_of=graph_of, broadcast_limit_mb=broadcast_limit_mb)
    return first_k(search_blocks(packed, items, k, blocks=blocks, n_users=users.count()).drop("rank"), k)


def excluded_idx(exclude: DataFrame, items: DataFrame) -> DataFrame:
    """Gather each user's excluded items as `excluded`, an array of `idx`."""
    return (
        exclude.join(items.select("item_id", "idx"), on="item_id", how="inner")
        .groupBy("user_id")
        .agg(F.collect_list("idx").alias("excluded"))
    )


def search_packed(
    packed: DataFrame,
    items: DataFrame,
    k: int,
    *,
    graph_of: GraphOf | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Search items that fit the broadcast limit: they come to the driver, and are broadcast.

    Parameters
    ----------
    packed : DataFrame
        `user_id, factors, excluded`: distinct users, each with an array of `idx` that are left out, or null.
    items : DataFrame
        `idx, item_id, factors`.
    k : int
        Most rows per user.
    """
    here = Block.of(arrow.collect_arrow(items.select("idx", "item_id", "factors")))
    if graph_of is not None:
        here.graph = graph_of(here.items, broadcast_limit_mb)
    block: Shared[Block] = share(packed.sparkSession, here)
    return packed.mapInArrow(_searcher(block, k), SCHEMA)


def _searcher(block: Shared[Block], k: int) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        here = block.value
        for batch in batches:
            yield from here.recommend(batch, k)

    return run
