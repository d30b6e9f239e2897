"""Click rates of items and groups of items before a day, corrected for positions and smoothed.

A rate is `(clicks + m s) / (exposure + s)`: a Beta prior with mean `m` and strength `s`. The mean is the click rate of
all lists in the window before the day. The strength is fitted by moments to how much the entities of a kind differ
(Kleinman, "Proportions with Extraneous Variance", JASA 1973), on the whole weeks before the day's own, so that neither
depends on anything later than the day before.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.features.prices import week_of
from recsys.features.shown import UNIT, by_key, day_number

ALL: Final = "all"
"""The kind whose only entity (value '') is everything that was shown."""
SHORT_WINDOWS: Final = (7, 30)
"""Days of the windows besides the longest."""
DEFAULT_STRENGTH: Final = 20.0
"""Before two entities of a kind have been shown in a whole week."""
STRENGTHS: Final = (1.0, 10_000.0)
"""Bounds of a fitted strength, in exposures; the upper one where entities differ by chance alone."""
_FINE: Final = "decimal(38,9)"


def entity_keys(*, segment: str = "segment") -> dict[str, Column]:
    """Return what rates are computed by: the kinds, and the value of a row with item, brand, category and segment."""
    in_segment = F.concat_ws("\x1f", "category", F.coalesce(segment, F.lit("")))
    return {
        ALL: F.lit(""),
        "item": F.col("item_id"),
        "brand": F.col("brand"),
        "category": F.col("category"),
        "category_segment": F.when(F.col("category").isNotNull(), in_segment),
    }


def daily_exposure(shown: DataFrame) -> DataFrame:
    """Sum shown items by kind, value and day.

    Parameters
    ----------
    shown : DataFrame
        `day, item_id, brand, category, segment, exposure, clicked`.

    Returns
    -------
    DataFrame
        `kind, value, day, exposure, clicked, shown`, unique by the first three.
    """
    return (
        by_key(shown, entity_keys())
        .groupBy("kind", "value", "day")
        .agg(F.sum("exposure").alias("exposure"), F.sum("clicked").alias("clicked"), F.count(F.lit(1)).alias("shown"))
    )


def click_rates(daily: DataFrame, wanted: DataFrame, *, window_days: int) -> DataFrame:
    """Compute the rates before each day that is wanted.

    Parameters
    ----------
    daily : DataFrame
        What `daily_exposure` returns.
    wanted : DataFrame
        `kind, value, day`, unique; every day with its row of kind `ALL`.
    window_days : int
        Days of the longest window.

    Returns
    -------
    DataFrame
        `kind, value, day, rate, rate_7, rate_30, shown, base`, one row per row of `wanted`; `rate` is over the whole
        window, and `base` is the click rate of everything. All but `shown` are null if nothing was shown in the window.
    """
    sums = _windows(daily, wanted, window_days)
    looks = _looks(F.col("exposure"))
    base = sums.where(F.col("kind") == ALL).select("day", F.when(looks > 0, F.col("clicked") / looks).alias("base"))
    strengths = prior_strengths(daily, window_days=window_days)
    # A row per day, and a row per kind and week.
    rows = (
        sums.join(F.broadcast(base), on="day", how="left")
        .withColumn("week", week_of(F.col("day")))
        .join(F.broadcast(strengths), on=["kind", "week"], how="left")
    )
    strength = F.coalesce("strength", F.lit(DEFAULT_STRENGTH))

    def rate(suffix: str) -> Column:
        clicks, exposure = F.col(f"clicked{suffix}"), _looks(F.col(f"exposure{suffix}"))
        return ((clicks + F.col("base") * strength) / (exposure + strength)).alias(f"rate{suffix}")

    suffixes = ("", *(f"_{days}" for days in SHORT_WINDOWS))
    return rows.select("kind", "value", "day", *(rate(suffix) for suffix in suffixes), "shown", "base")


def prior_strengths(daily: DataFrame, *, window_days: int) -> DataFrame:
    """Fit the strength of the prior of each kind, as of the start of each week.

    Returns
    -------
    DataFrame
        `kind, week, strength`, unique by the first two: from the whole weeks before `week` that lie in the window.
    """
    before = F.explode(F.sequence(F.lit(1), F.lit(max(1, (window_days - 6) // 7))))
    weekly = daily.groupBy("kind", "value", week_of(F.col("day")).alias("of")).agg(
        F.sum("exposure").alias("exposure"), F.sum("clicked").alias("clicked")
    )
    entities = (
        weekly.select("kind", "value", "exposure", "clicked", F.col("of"), before.alias("ago"))
        .groupBy("kind", "value", F.date_add("of", F.col("ago") * 7).alias("week"))
        .agg(_looks(F.sum("exposure")).alias("n"), F.sum("clicked").alias("c"))
        .where("n > 0")
    )

    def total(amount: Column) -> Column:
        return F.sum(amount.cast(_FINE)).cast("double")

    n, c = F.col("n"), F.col("c")
    moments = entities.groupBy("kind", "week").agg(
        total(n).alias("n"),
        total(c).alias("c"),
        total(n * n).alias("nn"),
        total(c * c / n).alias("cc"),
        F.count(F.lit(1)).alias("entities"),
    )
    return moments.where("entities > 1").select("kind", "week", _strength().alias("strength"))


def _strength() -> Column:
    """Set the variance between entities beside what chance alone would give."""
    n, mean = F.col("n"), F.least(F.col("c") / F.col("n"), F.lit(1.0))
    within = mean * (1 - mean)
    between = (F.col("cc") - mean * F.col("c") - within * (F.col("entities") - 1)) / (n - F.col("nn") / n)
    low, high = (F.lit(bound) for bound in STRENGTHS)
    return F.when(between > 0, F.greatest(low, F.least(within / between - 1, high))).otherwise(high)


def _windows(daily: DataFrame, wanted: DataFrame, window_days: int) -> DataFrame:
    """Sum the days of each window that ends before a wanted day."""
    names = ("exposure", "clicked", "shown")
    nothing = [F.lit(0).cast("bigint").alias(name) for name in names]
    target = F.lit(True).alias("is_target")
    rows = daily.select("kind", "value", "day", *names, F.lit(False).alias("is_target")).unionByName(
        wanted.select("kind", "value", "day", *nothing, target)
    )
    by_day = W.partitionBy("kind", "value").orderBy("at")

    def total(name: str, days: int, suffix: str) -> Column:
        inside = by_day.rangeBetween(-days, -1)
        return F.coalesce(F.sum(name).over(inside), F.lit(0)).alias(f"{name}{suffix}")

    sums = [total(name, window_days, "") for name in names]
    sums += [total(name, min(days, window_days), f"_{days}") for days in SHORT_WINDOWS for name in names[:2]]
    columns = rows.withColumn("at", day_number(F.col("day"))).select("kind", "value", "day", "is_target", *sums)
    return columns.where("is_target").drop("is_target")


def _looks(exposure: Column) -> Column:
    """Return exposure as a number of looks at position 1."""
    return exposure / F.lit(float(UNIT))
