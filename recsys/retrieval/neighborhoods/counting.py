"""Co-occurrence counted in Spark: two passes in Arrow, one over users and one over blocks of items."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.arrow import MEGABYTE
from recsys.retrieval.neighborhoods import blocks, histories
from recsys.retrieval.neighborhoods.blocks import Neighbors
from recsys.retrieval.neighborhoods.histories import Counted, Cut

_ITEM_BYTES = 64
_BLOCK_ITEMS = 10_000
_BLOCKS = (4, 128)


def neighbor_lists(
    interactions: DataFrame, item_index: DataFrame, *, cut: Cut, keep: int, min_support: int, broadcast_limit_mb: float
) -> DataFrame:
    """Return `item_id, rank, neighbor_id, score, support`: the most similar items of each item.

    Users are read once and sent, capped, to each block of items that they touched; a block then counts its pairs alone
    (`recsys.retrieval.neighborhoods.blocks`). All sums are of integers, so neither blocks nor partitions change a
    figure.

    Parameters
    ----------
    interactions : DataFrame
        `user_id, item_id, last_time`, unique by pair.
    item_index : DataFrame
        `item_id, idx`.
    cut : Cut
        How histories are capped and weighed; the number of blocks and of items is filled in here.
    keep : int
        Neighbors per item.
    min_support : int
        Fewest users in common.
    broadcast_limit_mb : float
        Up to this size the index is broadcast to the interactions.
    """
    index, n_items, n_blocks = cut_index(item_index, broadcast_limit_mb=broadcast_limit_mb)
    cut = replace(cut, blocks=n_blocks, n_items=n_items)
    numbered = interactions.join(index, on="item_id", how="inner").select(
        # Users are told apart by 64 bits: far fewer bytes travel.
        F.xxhash64("user_id").alias("u"),
        "idx",
        F.unix_micros("last_time").alias("at"),
    )
    by_user = numbered.repartition("u")
    pieces = by_user.mapInArrow(cut.pieces, histories.SCHEMA).unionByName(counted(interactions, item_index, n_blocks))
    kernel = Neighbors(keep, min_support, cut.formula, cut.blocks)
    by_block = pieces.repartition("block").sortWithinPartitions("block")
    return by_block.mapInArrow(kernel.lists, blocks.SCHEMA)


def cut_index(item_index: DataFrame, *, broadcast_limit_mb: float) -> tuple[DataFrame, int, int]:
    """Return the index, to be broadcast up to the limit, its largest number, and into how many blocks it is cut."""
    n_items = _largest(item_index)
    index = F.broadcast(item_index) if n_items * _ITEM_BYTES <= broadcast_limit_mb * MEGABYTE else item_index
    return index, n_items, min(max(-(-n_items // _BLOCK_ITEMS), _BLOCKS[0]), _BLOCKS[1])


def counted(interactions: DataFrame, item_index: DataFrame, n_blocks: int) -> DataFrame:
    """Return pieces with the users of each item, for every block."""
    counts = interactions.groupBy("item_id").agg(F.count("*").alias("n")).join(item_index, on="item_id", how="inner")
    return counts.select("idx", "n", "item_id").mapInArrow(Counted(n_blocks).pieces, histories.SCHEMA)


def _largest(index: DataFrame) -> int:
    return int(index.agg(F.coalesce(F.max("idx"), F.lit(0))).collect()[0][0])
