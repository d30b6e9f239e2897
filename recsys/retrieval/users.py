"""Who gets candidates, and what of their past retrieval needs: one row per user."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.tables import ANONYMOUS_PREFIX


def population(
    events: DataFrame,
    profiles: DataFrame,
    *,
    as_of: datetime,
    user_window_days: int | None = None,
    include_anonymous: bool = False,
) -> DataFrame:
    """Return `user_id, segment` of everybody who gets candidates.

    That is whoever has an event or a profile before the instant, robots (users with any flagged event) left out.

    Parameters
    ----------
    events : DataFrame
        `user_id, event_time, is_bot`.
    profiles : DataFrame
        One row per user, valid at the instant: `user_id, segment, signed_up_at`.
    user_window_days : int, optional
        Leave out who neither did anything nor signed up in these days.
    include_anonymous : bool
        Whether visitors known by a session only count.
    """
    past = (
        events.where(F.col("event_time") < F.lit(as_of))
        .groupBy("user_id")
        .agg(F.max("event_time").alias("last_time"), F.max("is_bot").alias("is_bot"))
    )
    known = past.join(profiles.select("user_id", "segment", "signed_up_at"), on="user_id", how="full")
    kept = known.where(~F.coalesce("is_bot", F.lit(False)))
    if user_window_days is not None:
        since = F.lit(as_of - timedelta(days=user_window_days))
        kept = kept.where((F.col("last_time") >= since) | (F.col("signed_up_at") >= since))
    if not include_anonymous:
        kept = kept.where(~F.col("user_id").startswith(ANONYMOUS_PREFIX))
    return kept.select("user_id", "segment")


def packed(people: DataFrame, histories: DataFrame, item_index: DataFrame, user_factors: DataFrame | None) -> DataFrame:
    """Put everything that a kernel needs of a user into one row.

    Parameters
    ----------
    people : DataFrame
        `user_id, segment`.
    histories : DataFrame
        `user_id, item_id, weight, last_time, seen`: see `recsys.transforms.interactions.pairs`.
    user_factors : DataFrame, optional
        `user_id, factors`.

    Returns
    -------
    DataFrame
        `user_id, segment, factors` (null without), and side by side, latest item first with ties by id, the arrays
        `idx`, `weight`, `seen` (null without a past).
    """
    entry = F.struct((-F.unix_micros("last_time")).alias("age"), "item_id", "idx", "weight", "seen")
    past = (
        histories.join(item_index.select("item_id", "idx"), on="item_id", how="inner")
        .groupBy("user_id")
        .agg(F.array_sort(F.collect_list(entry)).alias("past"))
        .select("user_id", "past.idx", "past.weight", "past.seen")
    )
    rows = people.join(past, on="user_id", how="left")
    if user_factors is None:
        return rows.withColumn("factors", F.lit(None).cast("array<float>"))
    return rows.join(user_factors.select("user_id", "factors"), on="user_id", how="left")
