"""Activity of users and items over the days before an example's day, from the daily partials.

The example's own day is never in these windows: what happened on it comes from the history, exact to the event. There
are two ways to the same figures. For one day, all entities are summed at once; for many days, running totals are
subtracted, so that one pass over the partials serves any number of days and any length of window.
"""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.data import FEATURE_WINDOWS
from recsys.features.daily import EXACT, Entity, exact

LONGEST = max(FEATURE_WINDOWS)


def windows_at(daily: DataFrame, *, entity: Entity, day: date) -> DataFrame:
    """Sum the windows that end before one day.

    Parameters
    ----------
    daily : DataFrame
        Rows of `user_daily` or `item_daily`.
    day : date
        The first day that is not in the windows.

    Returns
    -------
    DataFrame
        `<entity>_id` and the columns of `window_columns`, one row per entity with an event in the longest window.
    """
    rows = _measures(daily).where(
        (F.col("event_date") < F.lit(day)) & (F.col("event_date") >= F.lit(day - timedelta(days=LONGEST)))
    )
    ago = F.datediff(F.lit(day), F.col("event_date"))

    def total(measure: str, days: int) -> Column:
        return F.sum(F.when(ago <= days, F.col(measure)))

    sums = [total(measure, days).alias(f"{measure}_{days}") for measure, days in _sums(entity)]
    return rows.groupBy(f"{entity}_id").agg(*sums).select(f"{entity}_id", *_named(entity))


def windows_by_day(daily: DataFrame, wanted: DataFrame, *, entity: Entity) -> DataFrame:
    """Sum the windows that end before each of many days.

    Parameters
    ----------
    daily : DataFrame
        Rows of `user_daily` or `item_daily`.
    wanted : DataFrame
        `<entity>_id, day`, unique: the entities and the first day that is not in their windows.

    Returns
    -------
    DataFrame
        `<entity>_id, day` and the columns of `window_columns`, one row per row of `wanted`.
    """
    key = f"{entity}_id"
    measures = ("n", "purchases", "value_n", "value_sum")
    number = F.datediff(F.col("event_date"), F.lit(date(1970, 1, 1))).alias("at")
    zeros = [F.lit(0).cast("bigint").alias(name) for name in measures[:3]]
    targets = wanted.select(
        key,
        F.col("day").alias("event_date"),
        *zeros,
        F.lit(None).cast(EXACT).alias("value_sum"),
        F.lit(True).alias("is_target"),
    )
    rows = _measures(daily).select(key, "event_date", *measures, F.lit(False).alias("is_target")).unionByName(targets)
    by_day = W.partitionBy(key).orderBy("at")

    def until(measure: str, last: int) -> Column:
        # The frame starts with the entity's first row and ends some days before the current one: a running total.
        total = F.sum(measure).over(by_day.rangeBetween(W.unboundedPreceding, last))
        return F.coalesce(total, F.lit(0).cast(EXACT) if measure == "value_sum" else F.lit(0))

    sums = [
        (until(measure, -1) - until(measure, -days - 1)).alias(f"{measure}_{days}") for measure, days in _sums(entity)
    ]
    return (
        rows.withColumn("at", number)
        .select(key, F.col("event_date").alias("day"), "is_target", *sums)
        .where("is_target")
        .select(key, "day", *_named(entity))
    )


def window_columns(entity: Entity) -> list[str]:
    """Return the names of the columns that both functions add."""
    counts = [f"{entity}_events_{days}d" for days in FEATURE_WINDOWS]
    means = ["item_value_mean_365d"] if entity == "item" else []
    return [*counts, f"{entity}_purchases_{LONGEST}d", *means]


def _measures(daily: DataFrame) -> DataFrame:
    kind = F.col("event_type")
    return daily.where("n > 0").select(
        *(name for name in daily.columns if name in ("user_id", "item_id")),
        "event_date",
        "n",
        F.when(kind == "purchase", F.col("n")).otherwise(0).alias("purchases"),
        F.when(kind != "return", F.col("value_n")).otherwise(0).alias("value_n"),
        F.when(kind != "return", exact(F.col("value_sum"))).alias("value_sum"),
    )


def _sums(entity: Entity) -> list[tuple[str, int]]:
    counts = [("n", days) for days in FEATURE_WINDOWS]
    values = [("value_n", LONGEST), ("value_sum", LONGEST)] if entity == "item" else []
    return [*counts, ("purchases", LONGEST), *values]


def _named(entity: Entity) -> list[Column]:
    def count(column: str) -> Column:
        return F.coalesce(F.col(column), F.lit(0)).cast("double")

    columns = [count(f"n_{days}").alias(f"{entity}_events_{days}d") for days in FEATURE_WINDOWS]
    columns.append(count(f"purchases_{LONGEST}").alias(f"{entity}_purchases_{LONGEST}d"))
    if entity == "item":
        n, total = F.col(f"value_n_{LONGEST}"), F.col(f"value_sum_{LONGEST}").cast("double")
        columns.append(F.when(n > 0, total / n).alias("item_value_mean_365d"))
    return columns
