"""Popularity as an honest baseline: the full list that it alone would have published, not what the union left of it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.popular import OVERALL, PopularModel

LIGHT = 20
"""Users who have seen at most so many of the popular items need only the head of the lists."""


def popularity_lists(
    *,
    popular: DataFrame,
    users: DataFrame,
    profiles: DataFrame,
    seen: DataFrame | None,
    unavailable: DataFrame | None,
    depth: int,
) -> DataFrame:
    """Make the list of each user as the popularity retriever does, with the same exclusions.

    A list of `depth` needs no more of the popular items than `depth` and as many as the user has seen of them. So users
    who have seen few get theirs from the head alone, which is most of the users and a fraction of the rows.

    Parameters
    ----------
    popular : DataFrame
        segment, rank, item_id, score of the run.
    users : DataFrame
        user_id, unique.
    profiles : DataFrame
        Profiles valid at `as_of`: user_id (unique), segment.
    seen : DataFrame, optional
        user_id, item_id, unique, that must not come back.
    unavailable : DataFrame, optional
        item_id that must not come back.

    Returns
    -------
    DataFrame
        user_id, item_id, rank (dense from 1).
    """
    segments = profiles.where(F.col("segment") != OVERALL).select("user_id", "segment")
    listed = popular.select("segment", "item_id", "rank", "score")
    if unavailable is not None:
        place = F.row_number().over(W.Window.partitionBy("segment").orderBy("rank"))
        listed = listed.join(unavailable, on="item_id", how="left_anti").withColumn("rank", place)

    def recommend(head: int | None, some: DataFrame, exclude: DataFrame | None) -> DataFrame:
        lists = listed if head is None else listed.where(F.col("rank") <= head)
        return (
            PopularModel(lists, segments).recommend(some, k=depth, exclude=exclude).select("user_id", "item_id", "rank")
        )

    if seen is None:
        return recommend(depth, users, None)
    met = seen.join(users, on="user_id", how="left_semi").join(
        listed.select("item_id").distinct(), on="item_id", how="left_semi"
    )
    heavy = met.groupBy("user_id").agg(F.count("*").alias("n")).where(F.col("n") > LIGHT).select("user_id")
    light = users.join(heavy, on="user_id", how="left_anti")
    return recommend(depth + LIGHT, light, met).unionByName(recommend(None, heavy, met))
