"""Shown lists as evidence of taste: what was shown, how likely it was to be seen, and whether it was clicked.

Everything is summed by whole days, so that what is known of a day holds for every later one. Exposure is counted in
whole millionths of a look at position 1, so that sums are the same in whatever order they are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.features.examples import CLICKED

MAX_POSITION: Final = 50
"""Later positions count as this one."""
UNIT: Final = 1_000_000
"""Exposure of one item that was shown at position 1."""


@dataclass(frozen=True)
class ShownLists:
    """What the features of taste are made of, besides the events.

    Attributes
    ----------
    impressions : DataFrame
        Rows of `recsys.data.IMPRESSIONS`, robots included, from at least `window_days` days before the earliest
        example on; there may be none.
    position_effects : DataFrame, optional
        `position, effect` of one instant (rows of `recsys.data.POSITION_EFFECTS`). Without it, every position counts
        alike.
    window_days : int
        Days before an example's day that are looked at.
    half_life_days : float
        Days after which a user's clicks and exposures count half in lifts.
    """

    impressions: DataFrame
    position_effects: DataFrame | None = None
    window_days: int = 60
    half_life_days: float = 14.0


def shown_items(impressions: DataFrame, events: DataFrame) -> DataFrame:
    """Tell of each item shown to people whether it was clicked.

    Parameters
    ----------
    impressions, events : DataFrame
        Rows of `recsys.data.IMPRESSIONS` and `recsys.data.EVENTS`.

    Returns
    -------
    DataFrame
        `user_id, item_id, shown_at, day, position, price, propensity, clicked` (0 or 1), one row per item of a list.
        The log's own label decides if there is one that was known on the day of the list (`known_at`); else whether an
        event of the user names list and item on that day (`recsys.features.examples.CLICKED`). A label that is still
        open then counts as 0, so that a day never changes afterwards.
    """
    columns = ("list_id", "item_id", "user_id", "shown_at", "position", "price", "propensity", "label")
    rows = impressions.where(~F.col("is_bot"))
    if "known_at" in rows.columns:
        in_time = F.col("known_at").isNull() | (F.to_date("known_at") <= F.col("shown_date"))
        rows = rows.withColumn("label", F.when(in_time, F.col("label")))
    rows = rows.select(*columns, F.col("shown_date").alias("day"))
    names_list = F.col("event_type").isin(*CLICKED) & F.col("list_id").isNotNull() & ~F.col("is_bot")
    taken = (
        events.where(names_list)
        .select("list_id", "user_id", "item_id", F.col("event_date").alias("day"))
        .distinct()
        .withColumn("taken", F.lit(1.0))
    )
    # Only what has no label of its own is compared with the log.
    settled = rows.where("label IS NOT NULL").withColumn("taken", F.lit(None).cast("double"))
    unsettled = rows.where("label IS NULL").join(taken, on=["list_id", "user_id", "item_id", "day"], how="left")
    clicked = (F.coalesce("label", "taken", F.lit(0.0)) > 0).cast("bigint").alias("clicked")
    return settled.unionByName(unsettled).select(
        "user_id",
        "item_id",
        "shown_at",
        "day",
        F.least("position", F.lit(MAX_POSITION)).alias("position"),
        "price",
        "propensity",
        clicked,
    )


def with_exposure(shown: DataFrame, position_effects: DataFrame | None) -> DataFrame:
    """Add `exposure`: the chance that the position was looked at, relative to position 1, in units of 1 / `UNIT`."""
    if position_effects is None:
        return shown.withColumn("exposure", F.lit(UNIT).cast("bigint"))
    # At most `MAX_POSITION` rows.
    effects = F.broadcast(position_effects.select("position", F.col("effect").alias("_effect")))
    exposure = F.round(F.coalesce("_effect", F.lit(1.0)) * UNIT).cast("bigint")
    return shown.join(effects, on="position", how="left").withColumn("exposure", exposure).drop("_effect")


def by_key(rows: DataFrame, keys: dict[str, Column]) -> DataFrame:
    """Repeat each row once per kind of key, as `kind, value`, without the kinds whose value is null."""
    entries = [F.struct(F.lit(kind).alias("kind"), value.cast("string").alias("value")) for kind, value in keys.items()]
    return (
        rows.withColumn("_key", F.explode(F.array(*entries)))
        .where("_key.value IS NOT NULL")
        .select("*", "_key.kind", "_key.value")
        .drop("_key")
    )


def day_number(day: Column) -> Column:
    """Return the days since 1970 began, as windows of days are ordered by."""
    return F.unix_date(day)
