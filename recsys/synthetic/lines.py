"""Turns facts into lines of the raw logs: public ids, time formats, JSON, and the planted dirt.

Each function maps the frame of ``recsys.synthetic.frames`` to columns ``dt`` (UTC date, string), ``value``
(the line), ``defect`` (name or null) and what the manifest counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.synthetic.actions import EVENTS
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.dirt import (
    EVENT_DEFECTS,
    EVENT_ODDITIES,
    IMPRESSION_DEFECTS,
    choose,
    cut_short,
    repeat,
    spoil,
)
from recsys.synthetic.policy import POLICIES
from recsys.synthetic.users import COUNTRIES, DEVICES
from recsys.synthetic.world import CATEGORIES

CURRENCY = "EUR"
_ISO = "yyyy-MM-dd'T'HH:mm:ss.SSS'+00:00'"
_TEN_YEARS_MS = 3_652 * 86_400_000
_OVERLONG = 600


def named(names: Sequence[str], index: Column) -> Column:
    """Return the name at an index from 0; null stays null."""
    return F.element_at(F.array(*[F.lit(name) for name in names]), index + 1)


def _moved(milliseconds: int) -> Column:
    """Return the event's time, moved forward; the session's time zone must be UTC."""
    return F.date_format(F.timestamp_millis(F.col("ts_ms") + milliseconds), _ISO)


def _date(cfg: ShopConfig) -> Column:
    """Return the date ``yyyy-MM-dd`` of a row's day of the log."""
    return F.date_add(F.lit(cfg.start), F.col("day")).cast("string").alias("dt")


def with_event_defects(facts: DataFrame, cfg: ShopConfig) -> DataFrame:
    """Add ``defect`` and ``dt`` to event facts, and the rows that are sent twice."""
    rates = {**EVENT_DEFECTS, **EVENT_ODDITIES}
    chosen = choose("event_id", rates, seed=cfg.seed, purpose="event-dirt", dirt=cfg.dirt)
    fits = F.when((chosen != "bad_quantity") | F.col("qty").isNotNull(), chosen)
    picked = facts.select("*", _date(cfg), fits.alias("picked"))
    return picked.select("*", repeat("picked").alias("defect")).drop("picked")


def _event_fields() -> list[Column]:
    """Return the fields of an event line, spoiled if the row carries a defect."""
    price, number = F.col("price"), F.col("sku")
    null = F.lit(None)
    later = {"future_time": _moved(_TEN_YEARS_MS), "duplicate_key": _moved(2_000)}
    never = {"bad_time": F.lit("2024-13-45T99:61:00"), "ancient_time": F.lit("1970-01-01T00:00:00.000+00:00")}
    orphan = F.pmod(F.xxhash64("event_id"), F.lit(100)).cast("string")
    strange = {
        "missing_item": null,
        "bad_encoding": F.concat(F.substring(number, 1, 6), F.lit("\ufffd\ufffd"), F.substring(number, 9, 4)),
        "blank_id": F.lit("   "),
        "overlong_id": F.rpad(number, _OVERLONG, "0"),
        "unknown_item": F.concat(F.lit("SKU-ORPHAN"), orphan),
    }
    raised = F.round(price * 1.1 + 0.01, 2)
    return [
        F.col("event_id"),
        spoil(named(EVENTS, F.col("kind")), {"unknown_event": F.lit("hover_3")}).alias("event"),
        spoil(F.col("ts"), {**later, **never}).alias("ts"),
        spoil(F.col("uid"), {"missing_user": null}).alias("uid"),
        spoil(F.col("sid"), {"missing_user": null}).alias("sid"),
        F.col("step"),
        spoil(number, strange).alias("sku"),
        spoil(price, {"negative_price": -price, "duplicate_key": raised}).alias("price"),
        F.lit(CURRENCY).alias("currency"),
        spoil(F.col("qty"), {"bad_quantity": 1 - F.col("qty")}).alias("qty"),
        F.col("list_id"),
        F.col("pos"),
        named(DEVICES, F.col("device")).alias("device"),
        named(COUNTRIES, F.col("country")).alias("country"),
    ]


def event_lines(dirty: DataFrame) -> DataFrame:
    """Format event facts that have been through ``with_event_defects``."""
    line = F.to_json(F.struct(*_event_fields()))
    as_text = F.regexp_replace(line, r'"price":[-0-9.E]+', '"price":"n/a"')
    kept = F.col("defect").isNull() | F.col("defect").isin(*EVENT_ODDITIES)
    value = spoil(line, {"bad_number": as_text, "broken_json": cut_short(line)})
    return dirty.select(
        "dt",
        value.alias("value"),
        "defect",
        F.when(kept, named(EVENTS, F.col("kind"))).alias("clean_event"),
        F.col("is_bot"),
        (kept & F.col("uid").isNull()).alias("anonymous"),
    )


def impression_lines(facts: DataFrame, cfg: ShopConfig) -> DataFrame:
    """Format shown lists, with their dirt; adds ``items``, the number of items on clean lists."""
    chosen = choose("list_id", IMPRESSION_DEFECTS, seed=cfg.seed, purpose="list-dirt", dirt=cfg.dirt)
    picked = facts.select("*", _date(cfg), chosen.alias("picked"))
    dirty = picked.select("*", repeat("picked").alias("defect")).drop("picked")
    pages = ["home", *(f"category:{path}" for path, _, _ in CATEGORIES)]
    line = F.to_json(
        F.struct(
            spoil(F.col("list_id"), {"missing_list_id": F.lit(None)}).alias("list_id"),
            F.col("uid"),
            F.col("sid"),
            F.col("shown_ms").alias("shown_at"),
            named(DEVICES, F.col("device")).alias("device"),
            named(COUNTRIES, F.col("country")).alias("country"),
            named(pages, F.col("page") + 1).alias("page"),
            named(POLICIES, F.col("explored").cast("int")).alias("policy"),
            F.col("skus").alias("items"),
            F.col("prices"),
            F.col("propensities"),
        )
    )
    no_time = F.regexp_replace(line, r'"shown_at":\d+', '"shown_at":"yesterday"')
    value = spoil(line, {"bad_time": no_time, "broken_json": cut_short(line)})
    size = F.when(F.col("defect").isNull(), F.size("skus")).otherwise(0)
    return dirty.select("dt", value.alias("value"), "defect", size.alias("items"))
