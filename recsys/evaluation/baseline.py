"""Popularity as an honest baseline: the full list that it alone would have published, not what the union left of it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.popular import OVERALL, PopularModel


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
    met = None if seen is None else seen.join(users.select("user_id"), on="user_id", how="left_semi")
    found = PopularModel(listed, segments).recommend(users, k=depth, exclude=met)
    return found.select("user_id", "item_id", "rank")
