"""Ready lists walked in joins: for any number of items."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.popularity.counting import OVERALL


def walk(
    popular: DataFrame, segments: DataFrame, users: DataFrame, *, k: int, exclude: DataFrame | None = None
) -> DataFrame:
    """Return the first `k` items of each user's list that are not excluded.

    Parameters
    ----------
    popular : DataFrame
        `segment, rank, item_id, score`.
    segments : DataFrame
        `user_id, segment`; users without one take everybody's list.
    """
    # Numbered anew: a list that lost items still has to be walked from 1 without gaps.
    order = W.Window.partitionBy("segment").orderBy("rank")
    listed = popular.select("segment", "item_id", F.row_number().over(order).alias("rank"), "score")
    wanted = users.select("user_id").join(_reach(popular, segments, k, exclude), on="user_id", how="left")
    own = wanted.join(segments.select("user_id", "segment"), on="user_id", how="inner")
    everybody = F.broadcast(listed.where(F.col("segment") == OVERALL))
    rows = wanted.withColumn("segment", F.lit(OVERALL)).join(everybody, on="segment", how="inner")
    rows = rows.unionByName(own.join(listed, on="segment", how="inner"))
    rows = rows.where(F.col("rank") <= F.coalesce("reach", F.lit(2 * k)))
    if exclude is not None:
        rows = rows.join(exclude, on=["user_id", "item_id"], how="left_anti")
    first = (
        rows.groupBy("user_id", "item_id")
        .agg(F.min(F.struct((F.col("segment") == OVERALL).alias("late"), "rank", "score")).alias("best"))
        .select("user_id", "item_id", "best.late", F.col("best.rank").alias("place"), "best.score")
    )
    mine = W.Window.partitionBy("user_id").orderBy("late", "place")
    return (
        first.withColumn("rank", F.row_number().over(mine))
        .where(F.col("rank") <= k)
        .select("user_id", "item_id", "rank", "score")
    )


def listed(pairs: DataFrame, popular: DataFrame, segments: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score`: of the item in the segment's list, else in everybody's, else 0.

    Parameters
    ----------
    pairs : DataFrame
        Distinct `user_id, item_id`.
    popular : DataFrame
        `segment, item_id, score`, unique by segment and item.
    segments : DataFrame
        `user_id, segment`; distinct users.
    """
    of_all = popular.where(F.col("segment") == OVERALL).select("item_id", F.col("score").alias("of_all"))
    own = popular.where(F.col("segment") != OVERALL).select("segment", "item_id", F.col("score").alias("own"))
    return (
        pairs.join(segments.select("user_id", "segment"), on="user_id", how="left")
        .join(own, on=["segment", "item_id"], how="left")
        .join(of_all, on="item_id", how="left")
        .select("user_id", "item_id", F.coalesce("own", "of_all", F.lit(0.0)).alias("score"))
    )


def _reach(popular: DataFrame, segments: DataFrame, k: int, exclude: DataFrame | None) -> DataFrame:
    """How far down the lists a user may have to go: twice what is wanted and what is excluded.

    The segment's list yields k items, or fewer than k + excluded are in both lists.
    """
    if exclude is None:
        return segments.select("user_id", F.lit(2 * k).alias("reach")).where(F.lit(False))
    listed = exclude.join(popular.select("item_id").distinct(), on="item_id", how="left_semi")
    return listed.groupBy("user_id").agg((2 * (F.count("*") + k)).alias("reach"))
