"""The past of users who did nothing yet: what they clicked in shown lists, else what they were shown."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.frames import latest_first
from recsys.retrieval.tiers import TIERS

_MOST = 50
"""Items of a user, the latest ones: more than any retriever follows, and no robot fills a row."""


def with_viewed(histories: DataFrame, people: DataFrame, shown: DataFrame, *, as_of: datetime) -> DataFrame:
    """Add what users without an event were shown, so that retrievers which follow a past have something to follow.

    A click is better evidence than a glance: whoever clicked something has the clicked items for a past, whoever
    clicked nothing all items of the lists. Each counts alike, and none of them as seen.

    Parameters
    ----------
    histories : DataFrame
        `user_id, item_id, weight, last_time, n, seen`; see `recsys.retrieval.interactions.pairs`.
    people : DataFrame
        `user_id, tier`; distinct users.
    shown : DataFrame
        `user_id, item_id, shown_at, label, is_bot`: items of shown lists; the label is 1 for a click.
    as_of : datetime
        Exclusive upper bound of `shown_at`.
    """
    cold = people.where(F.col("tier") == TIERS[0]).select("user_id")
    lists = shown.where(~F.col("is_bot") & (F.col("shown_at") < F.lit(as_of)))
    items = (
        lists.join(cold, on="user_id", how="left_semi")
        .groupBy("user_id", "item_id")
        .agg(F.coalesce(F.max(F.col("label") > 0), F.lit(False)).alias("clicked"), F.max("shown_at").alias("last_time"))
    )
    clicked = F.max("clicked").over(W.Window.partitionBy("user_id"))
    best = items.withColumn("any_clicked", clicked).where(F.col("clicked") == F.col("any_clicked"))
    kept = best.withColumn("place", F.row_number().over(latest_first())).where(F.col("place") <= _MOST)
    more = kept.select(
        "user_id",
        "item_id",
        F.lit(1.0).alias("weight"),
        "last_time",
        F.lit(1).cast("bigint").alias("n"),
        F.lit(False).alias("seen"),
    )
    return histories.unionByName(more)
