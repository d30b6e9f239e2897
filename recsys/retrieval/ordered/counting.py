"""What follows what, counted in Spark: two passes in Arrow, one over users and one over blocks of items."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame

from recsys.retrieval.neighborhoods import blocks
from recsys.retrieval.neighborhoods.counting import counted, cut_index
from recsys.retrieval.ordered import pairs
from recsys.retrieval.ordered.pairs import Steps, Successors


def successor_lists(
    touched: DataFrame,
    interactions: DataFrame,
    item_index: DataFrame,
    *,
    steps: Steps,
    kernel: Successors,
    broadcast_limit_mb: float,
) -> DataFrame:
    """Return `item_id, rank, successor_id, score, support`: what is touched after each item.

    Parameters
    ----------
    touched : DataFrame
        `u, item_id, at, step`: see `recsys.retrieval.touches`.
    interactions : DataFrame
        `user_id, item_id`, unique by pair: whose items count.
    item_index : DataFrame
        `item_id, idx`.
    steps : Steps
        How touches are paired; the number of blocks and of items is filled in here.
    kernel : Successors
        Which pairs are kept.
    broadcast_limit_mb : float
        Up to this size the index is broadcast to the touches.
    """
    index, n_items, n_blocks = cut_index(item_index, broadcast_limit_mb=broadcast_limit_mb)
    by_owner = touched.join(index, on="item_id", how="inner").select("u", "idx", "at", "step").repartition("u")
    made = by_owner.mapInArrow(replace(steps, n_items=n_items, blocks=n_blocks).pieces, pairs.SCHEMA)
    pieces = made.unionByName(counted(interactions, item_index, n_blocks), allowMissingColumns=True)
    by_block = pieces.repartition("block").sortWithinPartitions("block")
    return by_block.mapInArrow(kernel.lists, blocks.SCHEMA).withColumnRenamed("neighbor_id", "successor_id")
