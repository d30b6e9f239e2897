"""The items that are most like each item, in Spark: one pass that reads the catalog, one over blocks of it."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame

from recsys.retrieval.content.blocks import LISTS, PIECES, Scheme
from recsys.retrieval.content.fields import Part, featured

_BLOCK_ITEMS = 5_000
_MOST_BLOCKS = 64


def similar_items(items: DataFrame, parts: Sequence[Part], *, keep: int, n_items: int) -> DataFrame:
    """Return `item_id, rank, neighbor_id, score, shared_brand, shared_category`: the `keep` most similar items of each.

    Every block of items gets the features of the whole catalog, and compares its own items with all that are available.
    Nothing passes the driver.

    Parameters
    ----------
    items : DataFrame
        The catalog: `item_id` (unique), `available`, and what it says.
    parts : sequence of Part
        What is compared.
    n_items : int
        Size of the catalog, which decides the number of blocks.
    """
    blocks = min(max(-(-n_items // _BLOCK_ITEMS), 1), _MOST_BLOCKS)
    scheme = Scheme(
        [part.weight for part in parts], [part.idf for part in parts], [part.common for part in parts], blocks, keep
    )
    pieces = featured(items, parts).mapInArrow(scheme.pieces, PIECES)
    return pieces.repartition("block").sortWithinPartitions("block").mapInArrow(scheme.lists, LISTS)
