"""What a user did with shown items like this one: clicks over expectation by brand, category and price, and repetition.

All days of a user's window are gathered per key and weighed by age. Weights are whole numbers, so sums are the same in
whatever order they are computed; and no window holds more entries than it has days.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.features.shown import UNIT, by_key, day_number

LIFTED: Final = ("brand", "category", "band")
"""What a user's lift is computed by."""
PSEUDO_CLICKS: Final = 1.0
"""Added to clicks and to expected clicks, so that little evidence gives a small lift."""
BANDS: Final = 10
_WHOLE: Final = 2**20
"""Weight of what happened today; older days weigh a whole number below it."""


def lift_keys() -> dict[str, Column]:
    """Return the keys of a row with item, brand, category and price level, within one user."""
    level = F.col("price_level")
    # `least` passes over nulls.
    band = F.when(level.isNotNull(), F.least(F.floor(level * BANDS), F.lit(BANDS - 1)))
    return {"item": F.col("item_id"), "brand": F.col("brand"), "category": F.col("category"), "band": band}


def user_days(shown: DataFrame, chosen: DataFrame) -> DataFrame:
    """Sum what each user was shown, and the prices that the user chose, by key and day.

    Parameters
    ----------
    shown : DataFrame
        `user_id, day, item_id, brand, category, price_level, exposure, clicked`.
    chosen : DataFrame
        `user_id, day, price_level` of items that users took up.

    Returns
    -------
    DataFrame
        `user_id, kind, value, day, exposure, clicked, shown`, unique by the first four. In the rows of kind "price",
        `clicked` is the number of choices, and `exposure` the sum of their levels, in units of 1 / `UNIT`.
    """
    level = F.round(F.col("price_level") * UNIT).cast("bigint")
    prices = chosen.where("price_level IS NOT NULL").select(
        "user_id",
        "day",
        F.lit("price").alias("kind"),
        F.lit("").alias("value"),
        level.alias("exposure"),
        F.lit(1).cast("bigint").alias("clicked"),
    )
    rows = by_key(shown, lift_keys()).select("user_id", "day", "kind", "value", "exposure", "clicked")
    return (
        rows.unionByName(prices)
        .groupBy("user_id", "kind", "value", "day")
        .agg(F.sum("exposure").alias("exposure"), F.sum("clicked").alias("clicked"), F.count(F.lit(1)).alias("shown"))
    )


def user_evidence(daily: DataFrame, pairs: DataFrame, *, window_days: int, half_life_days: float) -> DataFrame:
    """Sum up a user's window before each pair, by the pair's own keys.

    Parameters
    ----------
    daily : DataFrame
        What `user_days` returns.
    pairs : DataFrame
        `example_id` (unique), `user_id, day, item_id, brand, category, price_level`.
    window_days : int
        Whole days before `day`.
    half_life_days : float
        Age at which clicks and exposure weigh half.

    Returns
    -------
    DataFrame
        `example_id` and one struct per kind, `of_<kind>` (item, brand, category, band, price), with sums of the window
        (`exposure, clicked, shown`), sums weighed by age in looks and clicks (`weighed_exposure, weighed_clicked`), and
        the `days` since the newest entry. One row per pair; null structs where the pair has no such key.
    """
    kinds = [*lift_keys(), "price"]
    keyed = by_key(pairs, {**lift_keys(), "price": F.lit("")})
    nothing = [F.lit(None).cast("bigint").alias(name) for name in ("exposure", "clicked", "shown")]
    targets = keyed.select("user_id", "kind", "value", "day", *nothing, "example_id")
    rows = daily.withColumn("example_id", F.lit(None).cast("string")).unionByName(targets)
    window = W.partitionBy("user_id", "kind", "value").orderBy("at").rangeBetween(-window_days, -1)
    entry = F.struct("at", "exposure", "clicked", "shown")
    # Hashed by the user alone, so that neither the windows nor the sums by example need another shuffle. Targets are
    # left out of the lists, which skip nulls.
    gathered = (
        rows.repartition("user_id")
        .withColumn("at", day_number(F.col("day")))
        .withColumn("past", F.collect_list(F.when(F.col("shown").isNotNull(), entry)).over(window))
        .where("example_id IS NOT NULL")
        .select("user_id", "example_id", "kind", _evidence(half_life_days).alias("evidence"))
    )
    by_kind = [F.max(F.when(F.col("kind") == kind, F.col("evidence"))).alias(f"of_{kind}") for kind in kinds]
    return gathered.groupBy("user_id", "example_id").agg(*by_kind).drop("user_id")


def _evidence(half_life_days: float) -> Column:
    """Reduce the gathered days to sums."""
    past, at = F.col("past"), F.col("at")

    def weight(entry: Column) -> Column:
        share = F.pow(F.lit(2.0), (entry["at"] - at) / F.lit(half_life_days))
        return F.round(share * _WHOLE).cast("bigint")

    def total(name: str, weigh: Callable[[Column], Column] = lambda _: F.lit(1).cast("bigint")) -> Column:
        return F.aggregate(past, F.lit(0).cast("bigint"), lambda sum_, entry: sum_ + entry[name] * weigh(entry))

    return F.struct(
        total("exposure").alias("exposure"),
        total("clicked").alias("clicked"),
        total("shown").alias("shown"),
        (total("exposure", weight) / F.lit(float(UNIT) * _WHOLE)).alias("weighed_exposure"),
        (total("clicked", weight) / F.lit(float(_WHOLE))).alias("weighed_clicked"),
        (at - F.array_max("past.at")).alias("days"),
    )


def lift_columns() -> dict[str, Column]:
    """Return the features of a row with the structs of `user_evidence`, `base` and `price_level`."""
    out: dict[str, Column] = {}
    for kind in LIFTED:
        seen = F.col(f"of_{kind}")
        expected = F.coalesce(seen["weighed_exposure"] * F.col("base"), F.lit(0.0))
        lift = F.log((seen["weighed_clicked"] + PSEUDO_CLICKS) / (expected + PSEUDO_CLICKS))
        out[f"user_{kind}_lift"] = lift
        out[f"user_{kind}_shown"], out[f"user_{kind}_clicks"] = seen["shown"], seen["clicked"]
    item, price = F.col("of_item"), F.col("of_price")
    out["user_item_shown"] = item["shown"]
    out["user_item_skipped"] = item["shown"] - item["clicked"]
    out["user_item_shown_days"] = item["days"]
    level = F.when(price["clicked"] > 0, price["exposure"] / price["clicked"] / F.lit(float(UNIT)))
    out["price_level"], out["user_price_level"] = F.col("price_level"), level
    out["price_level_gap"] = F.col("price_level") - level
    return out
