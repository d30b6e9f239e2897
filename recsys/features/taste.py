"""Features of taste: what shown lists and choices of the days before tell of a pair.

The window of a pair consists of whole days before its own, so nothing of its list or its day is in it, and one pass
over the days serves any number of instants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.features.daily import day_of
from recsys.features.examples import CLICKED
from recsys.features.lifts import lift_columns, user_days, user_evidence
from recsys.features.prices import price_levels, week_of, with_price_level
from recsys.features.priors import ALL, click_rates, daily_exposure, entity_keys
from recsys.features.shown import ShownLists, by_key, shown_items, with_exposure
from recsys.features.states import with_state

RATES: Final = {
    "item_ctr_7d": ("item", "rate_7"),
    "item_ctr_30d": ("item", "rate_30"),
    "item_ctr": ("item", "rate"),
    "item_shown": ("item", "shown"),
    "brand_ctr": ("brand", "rate"),
    "category_ctr": ("category", "rate"),
    "category_segment_ctr": ("category_segment", "rate"),
}
"""Each feature that is a click rate or a count of entities: its kind, and the column of `click_rates`."""
_STATE: Final = {"category": "category", "brand": "brand", "price": "_price"}


def taste_features(
    pairs: DataFrame,
    *,
    shown: ShownLists,
    events: DataFrame,
    items: DataFrame,
    users: DataFrame,
    keep: Callable[[DataFrame], DataFrame],
    instant: datetime | None = None,
) -> DataFrame:
    """Compute what shown lists and choices tell of each pair.

    Parameters
    ----------
    pairs : DataFrame
        `example_id` (unique), `user_id, item_id, example_time, price, item_category, item_brand`.
    shown : ShownLists
        The lists, and how to count them.
    events, items, users : DataFrame
        The log, and the histories of the catalog and of the profiles.
    keep : callable
        Persists a frame that is read several times, and returns it.
    instant : datetime, optional
        The instant of every pair, if they share one: older days of the tables are then not read.

    Returns
    -------
    DataFrame
        `example_id` and the columns of `taste_columns`, one row per pair.
    """
    if instant is not None:
        first = day_of(instant) - timedelta(days=shown.window_days)
        shown = replace(shown, impressions=shown.impressions.where(F.col("shown_date") >= F.lit(first)))
        events = events.where(F.col("event_date") >= F.lit(first))
    wanted = _wanted(pairs)
    span = keep(_span(wanted, shown.window_days))
    lists = _inside(shown_items(shown.impressions, events), span)
    choices = _inside(_choices(events), span)
    levels = keep(price_levels(items, _weeks(span)))
    wanted = keep(with_price_level(_with_segment(wanted, users), levels, day="day"))
    exposed = with_exposure(lists.withColumnRenamed("shown_at", "at"), shown.position_effects)
    exposed = keep(_described(_with_segment(exposed, users), items, levels))
    rates = keep(
        click_rates(
            daily_exposure(exposed),
            by_key(wanted, entity_keys()).select("kind", "value", "day").distinct(),
            window_days=shown.window_days,
        )
    )
    evidence = user_evidence(
        user_days(exposed, _described(choices, items, levels)),
        wanted,
        window_days=shown.window_days,
        half_life_days=shown.half_life_days,
    )
    rows = _with_rates(wanted, rates).join(evidence, on="example_id", how="inner")
    ready = {**{name: F.col(name) for name in RATES}, **lift_columns()}
    return rows.select("example_id", *(column.cast("double").alias(name) for name, column in ready.items()))


def taste_columns() -> list[str]:
    """Return the names of the columns that `taste_features` adds."""
    return [*RATES, *lift_columns()]


def _wanted(pairs: DataFrame) -> DataFrame:
    """Return what is looked up for each pair, and when."""
    at = F.col("example_time")
    return pairs.select(
        "example_id",
        "user_id",
        "item_id",
        at.alias("at"),
        F.to_date(at).alias("day"),
        F.col("item_category").alias("category"),
        F.col("item_brand").alias("brand"),
        "price",
    )


def _choices(events: DataFrame) -> DataFrame:
    """Return what people took up, at which price."""
    return events.where(F.col("event_type").isin(*CLICKED) & ~F.col("is_bot")).select(
        "user_id", "item_id", F.col("event_date").alias("day"), F.col("event_time").alias("at"), "price"
    )


def _span(wanted: DataFrame, window_days: int) -> DataFrame:
    """Return the first day of any window, and the latest day of an example, in one row."""
    return wanted.agg(F.date_sub(F.min("day"), window_days).alias("first_day"), F.max("day").alias("last_day"))


def _inside(rows: DataFrame, span: DataFrame) -> DataFrame:
    """Keep the rows of days that can lie in the window of an example."""
    inside = (F.col("day") >= F.col("first_day")) & (F.col("day") < F.col("last_day"))
    return rows.join(F.broadcast(span), on=inside, how="inner").drop("first_day", "last_day")


def _weeks(span: DataFrame) -> DataFrame:
    """Return the Monday of each week of a span."""
    weeks = F.sequence(week_of(F.col("first_day")), week_of(F.col("last_day")), F.expr("INTERVAL 7 DAYS"))
    return span.select(F.explode(weeks).alias("week"))


def _described(rows: DataFrame, items: DataFrame, levels: DataFrame) -> DataFrame:
    """Add the category, brand and price level of the item, as they were just before `at`."""
    of_item = with_state(rows, items, entity="item", columns=_STATE, time="at")
    priced = of_item.withColumn("price", F.coalesce("price", "_price")).drop("_price")
    return with_price_level(priced, levels, day="day")


def _with_segment(rows: DataFrame, users: DataFrame) -> DataFrame:
    return with_state(rows, users, entity="user", columns={"segment": "segment"}, time="at")


def _with_rates(rows: DataFrame, rates: DataFrame) -> DataFrame:
    """Look up the rates of a pair's item, brand, category and segment, and of everything that was shown."""
    keys = entity_keys()
    base = rates.where(F.col("kind") == ALL).select("day", "base")
    rows = rows.join(F.broadcast(base), on="day", how="left")
    for kind in dict.fromkeys(kind for kind, _ in RATES.values()):
        named = [F.col(column).alias(name) for name, (of, column) in RATES.items() if of == kind]
        found = rates.where(F.col("kind") == kind).select("day", F.col("value").alias("_value"), *named)
        rows = rows.withColumn("_value", keys[kind]).join(found, on=["day", "_value"], how="left").drop("_value")
    return rows
