"""Flags users who click faster than people do. Causal: a flag depends on strictly earlier events only."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def one_per_basket(events: DataFrame) -> DataFrame:
    """Count what was exploded from one row once: its events have one id, each with its place behind it."""
    base = F.regexp_replace("event_id", "-[0-9]+$", "")
    return events.select("user_id", "event_time", base.alias("event_id")).distinct()


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


def with_known(found: DataFrame, known: DataFrame) -> DataFrame:
    """Unite robots with those of earlier batches: `user_id`, `robot_since` (the earlier one), `is_news`."""
    before = known.select("user_id", "robot_since", F.col("robot_since").alias("told"))
    rows = before.unionByName(found.select("*", F.lit(None).cast("timestamp").alias("told")))
    since, told = F.min("robot_since").alias("robot_since"), F.min("told").alias("told")
    news = F.col("told").isNull() | (F.col("robot_since") < F.col("told"))
    return rows.groupBy("user_id").agg(since, told).select("user_id", "robot_since", news.alias("is_news"))


def _end(column: str, seconds: int) -> Column:
    return F.timestamp_seconds(F.unix_seconds(column) + seconds)


def flag_robots(rows: DataFrame, found: DataFrame, *, time_column: str) -> DataFrame:
    """Add `is_bot` to rows with a `user_id`; `found` is what `robots` returned, one row per user."""
    joined = rows.join(found.select("user_id", "robot_since"), on="user_id", how="left")
    is_bot = F.coalesce(F.col(time_column) >= F.col("robot_since"), F.lit(False))
    return joined.select(*rows.columns, is_bot.alias("is_bot"))
