"""How strongly each user is tied to each item: weighted, decayed, summed events. Shared by every retriever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.returns import PURCHASE, canceled
from recsys.retrieval.settings import SignalSettings, UseValue

_SCALE = 1_000_000
"""Weights are summed as integers of this fraction, so that no sum depends on the order of its terms."""
_LARGEST = 1e8
"""Largest weight of one event: a purchase of a billion must not overflow a sum of millions."""


def pairs(events: DataFrame, *, as_of: datetime, signal: SignalSettings, seen_types: Iterable[str] = ()) -> DataFrame:
    """Sum up every user-item pair of the log strictly before an instant, robots left out.

    Parameters
    ----------
    events : DataFrame
        `user_id, item_id, event_type, event_time, value, is_bot`, and `quantity` if there is one.
    as_of : datetime
        Exclusive upper bound.
    signal : SignalSettings
        How much each event counts. Events older than its window count for nothing, but still make an item seen; so
        does a purchase that was returned.
    seen_types : iterable of str
        Event types that make an item seen; `*` stands for all.

    Returns
    -------
    DataFrame
        `user_id, item_id, weight, last_time, n, seen`, one row per pair; `weight` is 0, `last_time` null and `n` 0
        where a pair is only seen; `n` counts no purchase that was returned as a whole. Sums are exact, so that equal
        logs give equal bits whatever their order.
    """
    time = F.col("event_time")
    counts = counts_as_interest(signal.weights, signal.min_value)
    if signal.window_days is not None:
        counts &= time >= F.lit(as_of - timedelta(days=signal.window_days))
    strength = _strength(signal.weights, signal.use_value)
    if signal.half_life_days is not None:
        age = (F.unix_micros(F.lit(as_of)) - F.unix_micros(time)) / F.lit(86_400e6)
        strength = strength * F.pow(F.lit(0.5), age / F.lit(float(signal.half_life_days)))
    units = F.when(counts, F.rint(F.least(strength, F.lit(_LARGEST)) * _SCALE).cast("bigint"))
    wanted = list(seen_types)
    seen = F.lit(True) if "*" in wanted else F.col("event_type").isin(wanted)
    past = events.where((time < F.lit(as_of)) & ~F.col("is_bot"))
    counted = F.when(F.col("units") > 0, 1).otherwise(0).alias("n")
    rows = past.where(counts | seen).select("user_id", "item_id", time, units.alias("units"), seen.alias("seen"))
    rows = rows.select("*", counted)
    if signal.net_returns and signal.weights.get(PURCHASE):
        rows = rows.unionByName(_taken_back(past, F.coalesce(units, F.lit(0))))
    summed = F.coalesce(F.sum("units"), F.lit(0))
    return rows.groupBy("user_id", "item_id").agg(
        (summed / F.lit(float(_SCALE))).alias("weight"),
        F.when(summed > 0, F.max(F.when(F.col("units") > 0, time))).alias("last_time"),
        F.sum("n").alias("n"),
        F.max("seen").alias("seen"),
    )


def _taken_back(past: DataFrame, units: Column) -> DataFrame:
    """Rows that take from the sums of `pairs` what was returned."""
    quantity = F.col("quantity") if "quantity" in past.columns else F.lit(1.0)
    rows = past.select(
        "user_id", "item_id", "event_type", "event_time", quantity.alias("quantity"), units.alias("units")
    )
    gone = canceled(rows).where("units > 0")
    return gone.select(
        "user_id",
        "item_id",
        F.lit(None).cast("timestamp").alias("event_time"),
        (-F.col("units")).alias("units"),
        F.lit(False).alias("seen"),
        F.when(F.col("whole"), -1).otherwise(0).alias("n"),
    )


def interactions(events: DataFrame, *, as_of: datetime, signal: SignalSettings) -> DataFrame:
    """Return the pairs that count as interest; see `pairs` for the parameters.

    Returns
    -------
    DataFrame
        `user_id, item_id, weight, last_time, n`: one row per pair with a positive weight, its latest counted event
        and the number of counted events.
    """
    return pairs(events, as_of=as_of, signal=signal).where(F.col("weight") > 0).drop("seen")


def ratings(events: DataFrame, *, as_of: datetime, window_days: int | None = None) -> DataFrame:
    """Return the latest rating of each pair strictly before an instant, robots left out.

    Returns
    -------
    DataFrame
        `user_id, item_id, weight, last_time, n`, where `weight` is the rating itself (of any sign). Two ratings at
        the same instant are told apart by their `event_id`.
    """
    rated = (F.col("event_type") == "rating") & F.col("value").isNotNull() & ~F.col("is_bot")
    kept = events.where(rated & (F.col("event_time") < F.lit(as_of)))
    if window_days is not None:
        kept = kept.where(F.col("event_time") >= F.lit(as_of - timedelta(days=window_days)))
    return kept.groupBy("user_id", "item_id").agg(
        F.max_by("value", F.struct("event_time", "event_id")).alias("weight"),
        F.max("event_time").alias("last_time"),
        F.count("*").alias("n"),
    )


def counts_as_interest(weights: Mapping[str, float], min_value: float | None = None) -> Column:
    """Whether an event is a sign of interest: its type has a weight, and a rating reaches `min_value`."""
    counts = F.col("event_type").isin([kind for kind, weight in weights.items() if weight > 0])
    if min_value is None:
        return counts
    return counts & ((F.col("event_type") != "rating") | F.coalesce(F.col("value") >= min_value, F.lit(False)))


def type_weight(weights: Mapping[str, float]) -> Column:
    """Weight of an event by its type; null for types without one."""
    chosen = F.lit(None).cast("double")
    for kind, weight in sorted(weights.items()):
        chosen = F.when(F.col("event_type") == kind, F.lit(float(weight))).otherwise(chosen)
    return chosen


def _strength(weights: Mapping[str, float], use_value: UseValue) -> Column:
    weight = type_weight(weights)
    if use_value == "no":
        return weight
    # `greatest` passes over nulls, and no value must stay no value.
    value = F.when(F.col("value") < 0, F.lit(0.0)).otherwise(F.col("value"))
    factor = F.log1p(value) if use_value == "log" else value
    return weight * F.coalesce(factor, F.lit(1.0))
