"""EASE in Spark: the interactions as integers to one task, and its weights back under public ids."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.ease.solving import SCHEMA, Solver

_UNITS = 1e6
"""Weights are whole numbers of a millionth; see `recsys.retrieval.interactions`."""
_PER_USER = 8.0
_REG = (10.0, 1000.0)


@dataclass(frozen=True)
class Size:
    """What there is to learn from.

    Attributes
    ----------
    items, interactions : int
        Items with an interaction, and pairs of a user and an item.
    squares : int
        Sum over items of their squared number of users.
    """

    items: int
    interactions: int
    squares: int

    @property
    def popularity(self) -> float:
        """Users of the item of a mean interaction; 0 without any."""
        return self.squares / max(1, self.interactions)

    @property
    def reg(self) -> float:
        """The regularization where none is given: 8 x `popularity`, from 10 to 1000, in three digits."""
        return float(f"{min(max(_PER_USER * self.popularity, _REG[0]), _REG[1]):.3g}")


def numbered(interactions: DataFrame, item_index: DataFrame, *, weighted: bool) -> DataFrame:
    """Return `u, idx, at, units`: a hash of the user, the item's number, the time and the weight, all integers.

    Parameters
    ----------
    interactions : DataFrame
        `user_id, item_id, weight, last_time`, unique by pair.
    item_index : DataFrame
        `item_id, idx`.
    weighted : bool
        Whether weights differ; else all are 1.
    """
    units = F.rint(F.col("weight") * _UNITS).cast("bigint") if weighted else F.lit(1).cast("bigint")
    return interactions.join(item_index, on="item_id", how="inner").select(
        F.xxhash64("user_id").alias("u"), "idx", F.unix_micros("last_time").alias("at"), units.alias("units")
    )


def measured(pairs: DataFrame) -> Size:
    """Count what `numbered` returns; one row comes to the driver."""
    of_items = pairs.groupBy("idx").agg(F.count("*").alias("n"))
    sums = (F.count("*"), F.sum("n"), F.sum(F.col("n") * F.col("n")))
    return Size(*(int(value or 0) for value in of_items.agg(*sums).collect()[0]))


def weights(pairs: DataFrame, item_index: DataFrame, solver: Solver) -> DataFrame:
    """Return `item_id, rank, target_id, weight`; the matrix is inverted each time that the frame is used.

    Parameters
    ----------
    pairs : DataFrame
        As `numbered` returns it. All of it goes to one task.
    item_index : DataFrame
        `item_id, idx`.
    """
    found = pairs.repartition(1).mapInArrow(solver.lists, SCHEMA)
    source, target = (
        item_index.select(F.col("idx").alias(place), F.col("item_id").alias(name))
        for place, name in (("source", "item_id"), ("target", "target_id"))
    )
    named = found.join(source, on="source", how="inner").join(target, on="target", how="inner")
    return named.select("item_id", "rank", "target_id", "weight")
