"""Features of each user and item as of an instant.

Whole days come from the daily partials, the instant's own day from events strictly before it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import AS_OF_KEY, COUNTED_EVENTS, FEATURE_WINDOWS, stamp
from recsys.features.daily import Entity, daily_partials, day_of, exact, midnight

LONGEST = max(FEATURE_WINDOWS)
_SECONDS_PER_DAY = 86_400.0


def user_features(*, events: DataFrame, daily: DataFrame, users: DataFrame, as_of: datetime) -> DataFrame:
    """Compute `user_features`: what each user did, and the profile valid at the time.

    Parameters
    ----------
    events : DataFrame
        The log; only the part of `as_of`'s own day that lies before it is used.
    daily : DataFrame
        Rows of `user_daily`; only whole days before `as_of`'s are used.
    users : DataFrame
        Profiles valid just before `as_of`, one row per user.
    as_of : datetime
        Exclusive upper bound.

    Returns
    -------
    DataFrame
        The columns of `recsys.data.USER_FEATURES`, one row per user with a profile or with an event in the
        longest window.
    """
    profile = users.select(
        "user_id",
        "country",
        "segment",
        (F.lit(day_of(as_of).year) - F.col("birth_year")).cast("int").alias("age"),
        days_between(F.col("signed_up_at"), F.lit(as_of)).alias("tenure_days"),
    )
    return _with_activity(profile, _activity(events, daily, "user", as_of), "user", as_of)


def item_features(*, events: DataFrame, daily: DataFrame, items: DataFrame, as_of: datetime) -> DataFrame:
    """Compute `item_features`: what happened to each item, and the catalog entry valid at the time.

    Parameters and rows are those of `user_features`, with `item_daily` and the items valid just before `as_of`. An item
    that is not in the catalog counts as available.
    """
    state = items.select(
        "item_id",
        "category",
        "brand",
        "price",
        "available",
        days_between(F.col("added_at"), F.lit(as_of)).alias("age_days"),
    )
    rows = _with_activity(state, _activity(events, daily, "item", as_of), "item", as_of)
    return rows.withColumn("available", F.coalesce("available", F.lit(True)))


def days_between(start: Column, end: Column) -> Column:
    """Return the days from one timestamp to another, fractions included; null where either is."""
    return (F.unix_micros(end) - F.unix_micros(start)) / F.lit(_SECONDS_PER_DAY * 1e6)


def _activity(events: DataFrame, daily: DataFrame, entity: Entity, as_of: datetime) -> DataFrame:
    """Sum the days of each window, today's part included: one row per entity with an event by people."""
    today = day_of(as_of)
    time, day = F.col("event_time"), F.col("event_date")
    part = daily_partials(
        events.where((day == F.lit(today)) & (time >= F.lit(midnight(today))) & (time < F.lit(as_of))),
        entity=entity,
    )
    whole = daily.where((day < F.lit(today)) & (day >= F.lit(today - timedelta(days=LONGEST))))
    rows = whole.unionByName(part).where("n > 0").withColumn("ago", F.datediff(F.lit(today), day))
    counts = [
        F.sum(F.when((F.col("ago") <= days) & (F.col("event_type") == kind), F.col("n")).otherwise(0)).alias(
            f"n_{kind}_{days}d"
        )
        for days in FEATURE_WINDOWS
        for kind in COUNTED_EVENTS
    ]
    # Hashed by the entity first, so that counting its days needs no second shuffle.
    return (
        rows.repartition(f"{entity}_id")
        .groupBy(f"{entity}_id")
        .agg(
            *counts,
            _value_mean().alias("value_mean"),
            _revenue().alias("revenue"),
            F.count_distinct("event_date").cast("int").alias("active_days"),
            days_between(F.max("last_time"), F.lit(as_of)).alias("days_since_last"),
        )
    )


def _revenue() -> Column:
    """Money of purchases less that of returns, each on its own day; 0 where more came back than went out."""
    kind, money = F.col("event_type"), exact(F.col("revenue_sum"))
    net = F.sum(F.when(kind == "purchase", money).when(kind == "return", -money)).cast("double")
    return F.greatest(net, F.lit(0.0))


def _value_mean() -> Column:
    counted = F.col("event_type") != "return"
    total = F.sum(F.when(counted, exact(F.col("value_sum")))).cast("double")
    n = F.sum(F.when(counted, F.col("value_n")))
    return F.when(n > 0, total / n)


def _with_activity(state: DataFrame, activity: DataFrame, entity: Entity, as_of: datetime) -> DataFrame:
    counts = [f"n_{kind}_{days}d" for days in FEATURE_WINDOWS for kind in COUNTED_EVENTS]
    extra = [name for name in state.columns if name != f"{entity}_id"]
    return state.join(activity, on=f"{entity}_id", how="full").select(
        F.lit(as_of).alias("as_of"),
        F.lit(stamp(as_of)).alias(AS_OF_KEY.name),
        f"{entity}_id",
        *(F.coalesce(name, F.lit(0)).alias(name) for name in counts),
        F.col("value_mean").alias(f"value_mean_{LONGEST}d"),
        F.coalesce("revenue", F.lit(0.0)).alias(f"revenue_{LONGEST}d"),
        F.coalesce("active_days", F.lit(0)).alias(f"active_days_{LONGEST}d"),
        "days_since_last",
        *extra,
    )
