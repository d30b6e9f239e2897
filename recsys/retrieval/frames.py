"""Small helpers on frames that retrievers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.data.sql import quote


@contextmanager
def persisted(frame: DataFrame) -> Iterator[DataFrame]:
    """Keep a frame that several passes read, for the time of the block."""
    kept = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield kept
    finally:
        kept.unpersist()


@contextmanager
def persisting() -> Iterator[Callable[[DataFrame], DataFrame]]:
    """Yield a function that keeps the frames it is given until the block ends; they may be larger than memory."""
    with ExitStack() as held:

        def keep(frame: DataFrame) -> DataFrame:
            kept = frame.persist(StorageLevel.DISK_ONLY)
            held.callback(kept.unpersist)
            return kept

        yield keep


def first_k(rows: DataFrame, k: int) -> DataFrame:
    """Rank the rows of each user by score, ties by item id, and keep the first `k`; other columns travel along."""
    order = W.Window.partitionBy("user_id").orderBy(F.col("score").desc(), F.col("item_id"))
    return rows.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= k)


def latest_first() -> W.WindowSpec:
    """Order the items of each user by their latest time; of one time by a hash of user and item, then by id.

    Items of one basket, or of a log without times, have one time. An order by id would make everybody's latest items
    those whose ids are smallest.
    """
    return W.Window.partitionBy("user_id").orderBy(F.col("last_time").desc(), tie(), F.col("item_id"))


def tie() -> Column:
    """The hash that decides between items of one time."""
    return F.xxhash64("user_id", "item_id")


def distinct_pairs(pairs: DataFrame) -> DataFrame:
    """Return the distinct `user_id, item_id` of a frame; rows that lack one are left out."""
    return pairs.select("user_id", "item_id").dropna().distinct()


def with_columns(pairs: DataFrame, found: DataFrame) -> DataFrame:
    """Add to each row what was found of its pair; columns of the same names are replaced.

    Parameters
    ----------
    pairs : DataFrame
        `user_id, item_id`, not necessarily unique, and more.
    found : DataFrame
        `user_id, item_id`, unique, and the columns to add; they are null for pairs that it lacks.
    """
    new = [name for name in found.columns if name not in ("user_id", "item_id")]
    kept = [F.col(quote(name)) for name in pairs.columns if name not in new]
    return pairs.select(*kept).join(found, on=["user_id", "item_id"], how="left").select(*kept, *new)


@dataclass(frozen=True)
class Eligible:
    """Which items may be proposed.

    Attributes
    ----------
    items : DataFrame
        `item_id`.
    listed : bool
        Whether these items alone are eligible, or all but these.
    """

    items: DataFrame
    listed: bool

    def of(self, frame: DataFrame, column: str = "item_id") -> DataFrame:
        """Return the rows of a frame whose item is eligible."""
        ids = self.items.select(F.col("item_id").alias(column)).distinct()
        return frame.join(ids, on=column, how="left_semi" if self.listed else "left_anti")
