"""Flags users who click faster than people do. Causal: a flag depends on strictly earlier events only."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def robots(events: DataFrame, *, per_minute: int, per_hour: int) -> DataFrame:
    """Find the users whose rate passes a limit: `user_id` (unique), `robot_since`.

    A user counts as a robot from the end of the first clock minute (or hour) with more events than the limit, so that
    all events behind the verdict lie strictly before it.
    """
    # Both groupings fit a partitioning by user: the rows, two narrow columns each, move once.
    events = events.select("user_id", "event_time").repartition("user_id")
    minute = F.date_trunc("minute", "event_time")
    minutes = events.groupBy("user_id", minute.alias("minute")).agg(F.count(F.lit(1)).alias("n"))
    fast = F.min(F.when(F.col("n") > per_minute, F.col("minute")))
    hours = minutes.groupBy("user_id", F.date_trunc("hour", "minute").alias("hour")).agg(
        F.sum("n").alias("n"), fast.alias("fast")
    )
    since = F.least(_end("fast", 60), F.when(F.col("n") > per_hour, _end("hour", 3600)))
    return hours.groupBy("user_id").agg(F.min(since).alias("robot_since")).where(F.col("robot_since").isNotNull())


def _end(column: str, seconds: int) -> Column:
    return F.timestamp_seconds(F.unix_seconds(column) + seconds)


def flag_robots(rows: DataFrame, found: DataFrame, *, time_column: str) -> DataFrame:
    """Add `is_bot` to rows with a `user_id`; `found` is what `robots` returned, one row per user."""
    joined = rows.join(found, on="user_id", how="left")
    is_bot = F.coalesce(F.col(time_column) >= F.col("robot_since"), F.lit(False))
    return joined.select(*rows.columns, is_bot.alias("is_bot"))
