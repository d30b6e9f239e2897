"""Neighbors of recent items, added up in joins: for any number of items."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.frames import first_k, latest_first


def recent(histories: DataFrame, users: DataFrame, n: int, decay: float | None = None) -> DataFrame:
    """Return `user_id, item_id, place, share`: each user's `n` latest items, in the order of `latest_first`.

    The share is that of the largest weight among them; with `decay` it is 1 for the latest item, and as many times
    `decay` as there are later items.
    """
    mine = histories.where(F.col("weight") > 0).join(users.select("user_id"), on="user_id", how="left_semi")
    share = F.col("weight") / F.max("weight").over(W.Window.partitionBy("user_id"))
    if decay is not None:
        later = F.array_repeat(F.lit(decay), F.col("place") - 1)
        share = F.aggregate(later, F.lit(1.0), lambda sofar, once: sofar * once)
    return (
        mine.withColumn("place", F.row_number().over(latest_first()))
        .where(F.col("place") <= n)
        .select("user_id", "item_id", "place", share.alias("share"))
    )


def follow(latest: DataFrame, neighbors: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
    """Add up neighbors over recent items; what does not come to more than 0 is left out.

    Parameters
    ----------
    latest : DataFrame
        As `recent` returns it.
    neighbors : DataFrame
        `item_id, neighbor_id, score`; a score may be negative.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, because_item_id`.
    """
    because = F.max_by("from.item_id", F.struct("from.part", -F.col("from.place")))
    summed = _summed(_parts(latest, neighbors), because.alias("because_item_id")).where(F.col("score") > 0)
    if exclude is not None:
        summed = summed.join(exclude, on=["user_id", "item_id"], how="left_anti")
    return first_k(summed, k).select("user_id", "item_id", "rank", "score", "because_item_id")


def reached(pairs: DataFrame, latest: DataFrame, neighbors: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score, best`: what `follow` adds up for these pairs, and its largest term.

    Both are 0 where nothing leads to the item, and null for users without a recent item.

    Parameters
    ----------
    pairs : DataFrame
        Distinct `user_id, item_id`.
    latest, neighbors : DataFrame
        As `follow` takes them.
    """
    wanted = _parts(latest, neighbors).join(pairs, on=["user_id", "item_id"], how="left_semi")
    summed = _summed(wanted, F.max("from.part").alias("best"))
    past = latest.select("user_id", F.lit(0.0).alias("nothing")).distinct()
    found = pairs.join(past, on="user_id", how="left").join(summed, on=["user_id", "item_id"], how="left")
    values = (F.coalesce(name, "nothing").alias(name) for name in ("score", "best"))
    return found.select("user_id", "item_id", *values)


def _parts(latest: DataFrame, neighbors: DataFrame) -> DataFrame:
    """`user_id, item_id, from`: each step from a recent item to a neighbor."""
    step = F.struct("place", (F.col("share") * F.col("score")).alias("part"), "item_id")
    near = neighbors.select("item_id", "neighbor_id", "score")
    rows = latest.join(near, on="item_id", how="inner").select("user_id", "neighbor_id", step.alias("from"))
    return rows.withColumnRenamed("neighbor_id", "item_id")


def _summed(parts: DataFrame, more: Column) -> DataFrame:
    """Add up the steps to each item as `score`, with one more aggregate."""
    # In the order of the places, so that the sum is the same to the last bit wherever it is made.
    ordered = parts.groupBy("user_id", "item_id").agg(F.array_sort(F.collect_list("from")).alias("steps"), more)
    total = F.aggregate("steps", F.lit(0.0), lambda sofar, entry: sofar + entry["part"])
    return ordered.withColumn("score", total).drop("steps")
