"""Exact top-k for items that are too many for one worker: blocks of items, past which users stream. No driver.

Each task gets the rows of one block of items, and behind them those of some users. So a worker holds one block and one
batch of users, and what travels is every user once per block and every item once per group of users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.vectors.block import SCHEMA, Block

_USERS = 50_000
"""Users that pass by a block in one task, about."""


def search_blocks(packed: DataFrame, items: DataFrame, k: int, *, blocks: int, n_users: int) -> DataFrame:
    """Return the `k` best items of each user among those of each block.

    Parameters
    ----------
    packed : DataFrame
        `user_id, factors, excluded`: distinct users, each with an array of `idx` that are left out, or null.
    items : DataFrame
        `idx, item_id, factors`.
    k : int
        Most rows per user and block.
    blocks : int
        Parts that items are cut into, by a hash of their ids.
    n_users : int
        Number of users.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score`; ranks within the block.
    """
    groups = max(1, -(-n_users // _USERS))
    every = F.explode(F.sequence(F.lit(0), F.lit(groups - 1)))
    block = F.pmod(F.xxhash64("item_id"), F.lit(blocks)).cast("int")
    of_items = items.select(
        block.alias("block"),
        every.alias("group"),
        F.lit(False).alias("is_user"),
        F.col("item_id").alias("id"),
        "idx",
        "factors",
        F.lit(None).cast("array<int>").alias("excluded"),
    )
    of_users = packed.select(
        F.explode(F.sequence(F.lit(0), F.lit(blocks - 1))).alias("block"),
        F.pmod(F.xxhash64("user_id"), F.lit(groups)).cast("int").alias("group"),
        F.lit(True).alias("is_user"),
        F.col("user_id").alias("id"),
        F.lit(None).cast("int").alias("idx"),
        "factors",
        "excluded",
    )
    tasks = of_items.unionByName(of_users).repartition(blocks * groups, "block", "group")
    return tasks.sortWithinPartitions("block", "group", "is_user").mapInArrow(partial(_search, k), SCHEMA)


def _search(k: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Gather the items of a block and group, then search for the users behind them."""
    held: list[pa.RecordBatch] = []
    of: tuple[int, int] | None = None
    here: Block | None = None
    for run in _runs(batches):
        key = (run["block"][0].as_py(), run["group"][0].as_py())
        if key != of:
            held, of, here = [], key, None
        if not run["is_user"][0].as_py():
            held.append(run.select(["idx", "id", "factors"]))
            continue
        if here is None and held:
            here, held = Block.of(pa.Table.from_batches(held).rename_columns(["idx", "item_id", "factors"])), []
        if here is not None:
            users = run.select(["id", "factors", "excluded"])
            yield from here.recommend(users.rename_columns(["user_id", "factors", "excluded"]), k)


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut batches where block, group or kind of row change."""
    for batch in batches:
        if not batch.num_rows:
            continue
        code = pc.add(pc.multiply(batch["block"].cast("int64"), 1 << 32), pc.multiply(batch["group"].cast("int64"), 2))
        starts = arrow.group_starts(pc.add(code, batch["is_user"].cast("int64"))).tolist()
        for start, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
            yield batch.slice(start, end - start)
