"""Neighbors of recent items, added up in joins: for any number of items."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.frames import first_k


def recent(histories: DataFrame, users: DataFrame, n: int) -> DataFrame:
    """Return `user_id, item_id, place, share`: each user's `n` latest items, latest first, ties by id."""
    mine = histories.where(F.col("weight") > 0).join(users.select("user_id"), on="user_id", how="left_semi")
    order = W.Window.partitionBy("user_id").orderBy(F.col("last_time").desc(), F.col("item_id"))
    everything = W.Window.partitionBy("user_id")
    return (
        mine.withColumn("place", F.row_number().over(order))
        .where(F.col("place") <= n)
        .select("user_id", "item_id", "place", (F.col("weight") / F.max("weight").over(everything)).alias("share"))
    )


def follow(latest: DataFrame, neighbors: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
    """Add up neighbors over recent items.

    Parameters
    ----------
    latest : DataFrame
        As `recent` returns it.
    neighbors : DataFrame
        `item_id, neighbor_id, score`.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, because_item_id`.
    """
    parts = latest.join(neighbors.select("item_id", "neighbor_id", "score"), on="item_id", how="inner").select(
        "user_id",
        F.col("neighbor_id").alias("to"),
        F.struct("place", (F.col("share") * F.col("score")).alias("part"), "item_id").alias("from"),
    )
    # In the order of the places, so that the sum is the same to the last bit wherever it is made.
    ordered = parts.groupBy("user_id", F.col("to").alias("item_id")).agg(
        F.array_sort(F.collect_list("from")).alias("from"),
        F.max_by("from.item_id", F.struct("from.part", -F.col("from.place"))).alias("because_item_id"),
    )
    total = F.aggregate("from", F.lit(0.0), lambda sofar, entry: sofar + entry["part"])
    summed = ordered.select("user_id", "item_id", total.alias("score"), "because_item_id")
    if exclude is not None:
        summed = summed.join(exclude, on=["user_id", "item_id"], how="left_anti")
    return first_k(summed, k).select("user_id", "item_id", "rank", "score", "because_item_id")
