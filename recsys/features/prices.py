"""Where a price stands among those of its category, 0 the cheapest and 1 the dearest.

Prices are compared with the catalog that was valid when the week began (Monday, UTC), so a level depends on nothing
later, and it is the same on every day of a week. The catalog is summed up by category in steps of a twelfth of a
doubling (about 6 %): counts are exact in whatever order they are made, and a category costs at most some hundred steps.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

_STEPS_PER_DOUBLING: Final = 12
_SMALLEST: Final = 2.0**-10
_LARGEST: Final = 2.0**30
"""Prices beyond these count as these."""


def week_of(day: Column) -> Column:
    """Return the Monday of a date's week."""
    return F.date_trunc("week", day).cast("date")


def price_levels(items: DataFrame, weeks: DataFrame) -> DataFrame:
    """Sum up the prices of each category as each week begins.

    Parameters
    ----------
    items : DataFrame
        The catalog with its history.
    weeks : DataFrame
        `week`, the Mondays that are wanted; unique, and few.

    Returns
    -------
    DataFrame
        `week, category, first, levels`: the level of the price steps from `first` on. Unique by week and category; ''
        stands for items without a category.
    """
    start = F.col("week").cast("timestamp")
    ends = F.col("valid_to").isNull() | (F.col("valid_to") >= start)
    valid = (F.col("valid_from") < start) & ends & (F.col("added_at").isNull() | (F.col("added_at") < start))
    priced = items.where("price > 0").select(
        _category(F.col("category")).alias("category"),
        _step(F.col("price")).alias("step"),
        "valid_from",
        "valid_to",
        "added_at",
    )
    counts = (
        priced.join(F.broadcast(weeks), on=valid, how="inner")
        .groupBy("week", "category", "step")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    by_step = W.partitionBy("week", "category").orderBy("step")
    until = F.sum("n").over(by_step.rowsBetween(W.unboundedPreceding, W.currentRow))
    total = F.sum("n").over(W.partitionBy("week", "category"))
    gap = F.coalesce(F.lead("step").over(by_step) - F.col("step"), F.lit(1))
    # Half of the items of one's own step are cheaper; steps in between stand above all of the step before them.
    own, above = (until - F.col("n") / 2) / total, until / total
    filled = F.concat(F.array(own), F.array_repeat(above, gap - 1))
    return (
        counts.select("week", "category", "step", filled.alias("filled"))
        .groupBy("week", "category")
        .agg(F.sort_array(F.collect_list(F.struct("step", "filled"))).alias("steps"))
        .select("week", "category", F.col("steps")[0]["step"].alias("first"), F.flatten("steps.filled").alias("levels"))
    )


def with_price_level(rows: DataFrame, levels: DataFrame, *, day: str) -> DataFrame:
    """Add `price_level` to rows with `category`, `price` and a date; null if the category had no price that week."""
    step = F.col("_step") - F.col("first")
    # `least` and `greatest` pass over nulls.
    place = F.when(step.isNotNull(), F.greatest(F.lit(0), F.least(step, F.size("levels") - 1)))
    keyed = rows.withColumns(
        {"_week": week_of(F.col(day)), "_category": _category(F.col("category")), "_step": _step(F.col("price"))}
    )
    known = levels.withColumnsRenamed({"week": "_week", "category": "_category"})
    return (
        keyed.join(known, on=["_week", "_category"], how="left")
        .withColumn("price_level", F.get("levels", place))
        .drop("_week", "_category", "_step", "first", "levels")
    )


def _category(category: Column) -> Column:
    return F.coalesce(category, F.lit(""))


def _step(price: Column) -> Column:
    bounded = F.least(F.greatest(price, F.lit(_SMALLEST)), F.lit(_LARGEST))
    return F.when(price > 0, F.floor(F.log2(bounded) * _STEPS_PER_DOUBLING).cast("int"))
