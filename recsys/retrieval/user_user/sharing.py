"""What similar users touched, brought to each user in joins: users' data can't be broadcast."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.frames import first_k
from recsys.retrieval.neighborhoods.counting import neighbor_lists
from recsys.retrieval.neighborhoods.histories import Cut
from recsys.retrieval.neighborhoods.similarity import Formula
from recsys.retrieval.user_user.adding import OWN, SCHEMA, Choices


def similar_users(
    interactions: DataFrame,
    user_index: DataFrame,
    *,
    formula: Formula,
    as_of: datetime,
    max_users: int,
    keep: int,
    min_support: int,
    broadcast_limit_mb: float,
) -> DataFrame:
    """Return `user_id, rank, neighbor_id, score, support`: item-item neighbors with users and items exchanged.

    Parameters
    ----------
    interactions : DataFrame
        `user_id, item_id`, unique by pair.
    user_index : DataFrame
        `user_id, idx`; other users neither have nor are neighbors.
    formula : Formula
        How similar two users are.
    max_users : int
        Users of each item that pairs are made from, chosen by a hash.
    keep, min_support : int
        Neighbors per user, and the fewest items in common.
    """
    # All times are one, so that the hash alone chooses among the users of an item.
    exchanged = interactions.select(
        F.col("item_id").alias("user_id"), F.col("user_id").alias("item_id"), F.lit(as_of).alias("last_time")
    )
    found = neighbor_lists(
        exchanged,
        user_index.select(F.col("user_id").alias("item_id"), "idx"),
        cut=Cut(max_users, formula, None, 0),
        keep=keep,
        min_support=min_support,
        broadcast_limit_mb=broadcast_limit_mb,
    )
    return found.withColumnRenamed("item_id", "user_id")


def histories(interactions: DataFrame, item_index: DataFrame) -> DataFrame:
    """Return `user_id, idx, share`: side by side, each user's items, latest first, ties by a hash.

    A share is the item's weight over the user's largest.
    """
    tie = F.xxhash64("user_id", "idx").alias("tie")
    entry = F.struct((-F.unix_micros("last_time")).alias("age"), tie, "idx", "weight")
    packed = (
        interactions.join(item_index.select("item_id", "idx"), on="item_id", how="inner")
        .groupBy("user_id")
        .agg(F.array_sort(F.collect_list(entry)).alias("past"), F.max("weight").alias("most"))
    )
    share = F.transform("past", lambda one: one["weight"] / F.col("most"))
    return packed.select("user_id", F.col("past.idx").alias("idx"), share.alias("share"))


def choices(neighbors: DataFrame, past: DataFrame, item_index: DataFrame, *, max_history: int, keep: int) -> DataFrame:
    """Return `user_id, rank, item_id, score, users, touched`: the best of what each user's neighbors touched.

    Parameters
    ----------
    neighbors : DataFrame
        As `similar_users` returns it.
    past : DataFrame
        As `histories` returns it.
    max_history : int
        Latest items of a neighbor that count.
    keep : int
        Items per user of those that the user has not touched, and as many of those that the user has.
    """
    own = past.select("user_id", F.lit(OWN).alias("rank"), F.lit(0.0).alias("score"), "idx", "share")
    shown = past.select(
        F.col("user_id").alias("neighbor_id"),
        *(F.slice(name, 1, max_history).alias(name) for name in ("idx", "share")),
    )
    theirs = neighbors.join(shown, on="neighbor_id", how="inner").select(own.columns)
    rows = own.unionByName(theirs).select(F.xxhash64("user_id").alias("u"), *own.columns)
    whole = rows.repartition("user_id").sortWithinPartitions("user_id", "rank")
    found = whole.mapInArrow(Choices(keep).lists, SCHEMA)
    named = found.join(item_index.select("item_id", "idx"), on="idx", how="inner")
    return first_k(named, 2 * keep).select("user_id", "rank", "item_id", "score", "users", "touched")
