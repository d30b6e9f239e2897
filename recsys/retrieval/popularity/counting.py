"""Popularity counted in Spark, over a window that widens until there are enough items."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.popularity.scores import Scoring
from recsys.retrieval.settings import SignalSettings

OVERALL = ""
"""Name of the segment that holds everybody."""

_LEVELS = 24
"""How often the window may double; a day doubled so often is longer than any log."""


def popular_lists(
    events: DataFrame,
    *,
    as_of: datetime,
    signal: SignalSettings,
    profiles: DataFrame | None,
    items: DataFrame | None,
    keep: int,
    window_days: int,
    min_segment_users: int,
    scoring: Scoring,
) -> DataFrame:
    """Return `segment, rank, item_id, score`: the most popular items of everybody and of each large segment.

    Each user counts once per item, with the weightiest event in the window.

    Parameters
    ----------
    profiles : DataFrame, optional
        `user_id, segment`; without them there is everybody's list alone.
    items : DataFrame, optional
        The catalog: `item_id, available, added_at`. Where everybody's list is shorter than `keep`, its items that
        nobody touched follow with score 0, the newest first: otherwise no user would ever see them, and users who
        have seen every popular item would get an empty list.
    keep : int
        Items per list.
    window_days : int
        Days that are counted; doubled while fewer than `keep` items are found.
    min_segment_users : int
        Smaller segments have no list of their own.
    scoring : Scoring
        Which events count, and what the lists are ordered by.
    """
    touched = touched_items(events, as_of, signal, window_days, scoring)
    if profiles is None:
        touched = touched.withColumn("segment", F.lit(OVERALL))
    else:
        named = touched.join(_large(profiles, min_segment_users), on="user_id", how="left")
        touched = named.withColumn("segment", F.explode(_lists("segment")))
    inside = touched.join(F.broadcast(window_of(touched, keep)), on="segment", how="inner").where("level <= width")
    counted = inside.groupBy("segment", "user_id", "item_id").agg(*largest(scoring))
    return _ranked(counted, items, keep, scoring)


def touched_items(
    events: DataFrame, as_of: datetime, signal: SignalSettings, window_days: int, scoring: Scoring
) -> DataFrame:
    """Return `user_id, item_id, level, units` and more: what counts; level n lies within window x 2^n of `as_of`."""
    bound = F.lit(as_of)
    days = (F.unix_micros(bound) - F.unix_micros("event_time")) / F.lit(86_400e6)
    level = F.least(F.greatest(F.ceil(F.log2(days / F.lit(float(window_days)))), F.lit(0)), F.lit(_LEVELS - 1)).cast(
        "int"
    )
    people = ~F.col("is_bot") & (F.col("event_time") < bound)
    counted = {"units": scoring.units(signal, days), "more": scoring.more(signal, days)}
    return (
        events.where(people & scoring.counts(signal))
        .select("user_id", "item_id", level.alias("level"), *(counted[name].alias(name) for name in scoring.columns))
        .groupBy("user_id", "item_id", "level")
        .agg(*largest(scoring))
    )


def largest(scoring: Scoring) -> list[Column]:
    """What a user adds to an item: the weightiest event."""
    return [F.max(name).alias(name) for name in scoring.columns]


def _large(profiles: DataFrame, least: int) -> DataFrame:
    """`user_id, segment` of the segments with enough users."""
    named = profiles.where(F.col("segment").isNotNull() & (F.col("segment") != OVERALL)).select("user_id", "segment")
    sizes = named.groupBy("segment").agg(F.count("*").alias("n"))
    large = F.broadcast(sizes.where(F.col("n") >= least).select("segment"))
    return named.join(large, on="segment", how="inner")


def window_of(touched: DataFrame, keep: int) -> DataFrame:
    """Return `segment, width`: the smallest level of each segment that reaches `keep` items, else its largest.

    Some twenty rows per segment.
    """
    firsts = touched.groupBy("segment", "item_id").agg(F.min("level").alias("level"))
    levels = F.array(*(F.count_if(F.col("level") <= level) for level in range(_LEVELS)))
    sizes = firsts.groupBy("segment").agg(levels.alias("upto"), F.max("level").alias("last"))
    enough = F.filter(F.sequence(F.lit(0), F.lit(_LEVELS - 1)), lambda level: F.get("upto", level) >= keep)
    return sizes.select("segment", F.coalesce(F.get(enough, F.lit(0)), "last").alias("width"))


def _ranked(counted: DataFrame, items: DataFrame | None, keep: int, scoring: Scoring) -> DataFrame:
    """The first `keep` of each list: what was touched by score, then the catalog's others, the newest first."""
    names = scoring.columns
    rows = counted.select("segment", "item_id", *names, F.lit(None).cast("timestamp").alias("added_at"))
    if items is not None:
        none = (F.lit(None).cast("bigint").alias(name) for name in names)
        catalog = items.where("available").select(F.lit(OVERALL).alias("segment"), "item_id", *none, "added_at")
        rows = rows.unionByName(catalog)
    sums = rows.groupBy("segment", "item_id").agg(
        *(F.sum(name).alias(name) for name in names), F.max("added_at").alias("added_at")
    )
    if "more" in names:
        whole = counted.groupBy("segment").agg(*(F.sum(name).alias(f"all_{name}") for name in names))
        sums = sums.join(F.broadcast(whole), on="segment", how="left")
    scored = sums.select("segment", "item_id", scoring.score().alias("score"), "added_at")
    cold = F.col("score").isNull()
    order = W.Window.partitionBy("segment").orderBy(
        F.col("score").desc_nulls_last(), F.when(cold, F.col("added_at")).desc_nulls_last(), F.col("item_id")
    )
    ranked = scored.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= keep)
    return ranked.select("segment", "rank", "item_id", F.coalesce("score", F.lit(0.0)).alias("score"))


def _lists(segment: str) -> Column:
    """The lists that count for a user: everybody's, and the segment's own where there is one."""
    return F.array_compact(F.array(F.lit(OVERALL), F.col(segment)))
