"""Pairs from events: weights, values, decay, windows, robots, the time rule."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.retrieval.interactions import interactions, pairs, ratings
from recsys.retrieval.settings import SignalSettings

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
SCHEMA = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "is_bot boolean"
)


def log(spark: SparkSession, *rows: tuple[Any, ...]) -> DataFrame:
    """Rows of (user, item, type, days before AS_OF, value, is_bot)."""
    return spark.createDataFrame(
        [
            (f"e{i}", user, item, kind, AS_OF - timedelta(days=days), value, bot)
            for i, (user, item, kind, days, value, bot) in enumerate(rows)
        ],
        SCHEMA,
    )


def weights_of(frame: DataFrame) -> dict[tuple[str, str], float]:
    return {(row["user_id"], row["item_id"]): row["weight"] for row in frame.collect()}


def test_weights_add_up_by_type_and_unknown_types_count_for_nothing(spark: SparkSession) -> None:
    events = log(
        spark,
        ("u", "a", "view", 3, None, False),
        ("u", "a", "purchase", 2, None, False),
        ("u", "b", "other", 1, None, False),
        ("u", "c", "return", 1, None, False),
    )
    rows = interactions(
        events, as_of=AS_OF, signal=SignalSettings(weights={"view": 1.0, "purchase": 5.0, "return": 0.0})
    ).collect()
    assert [(r["item_id"], r["weight"], r["n"]) for r in rows] == [("a", 6.0, 2)]
    assert rows[0]["last_time"].timestamp() == (AS_OF - timedelta(days=2)).timestamp()


@pytest.mark.parametrize(("mode", "expected"), [("no", 2.0), ("log", 2 * math.log(4)), ("linear", 6.0)])
def test_value_multiplies(spark: SparkSession, mode: Any, expected: float) -> None:
    events = log(spark, ("u", "a", "play", 1, 3.0, False), ("u", "b", "play", 1, None, False))
    found = weights_of(interactions(events, as_of=AS_OF, signal=SignalSettings(weights={"play": 2.0}, use_value=mode)))
    assert found["u", "a"] == pytest.approx(expected, abs=1e-6)
    assert found["u", "b"] == 2.0, "an event without a value counts once"


def test_half_life_and_window(spark: SparkSession) -> None:
    events = log(
        spark,
        ("u", "a", "view", 10, None, False),
        ("u", "b", "view", 20, None, False),
        ("u", "c", "view", 31, None, False),
    )
    found = weights_of(
        interactions(
            events, as_of=AS_OF, signal=SignalSettings(weights={"view": 1.0}, half_life_days=10, window_days=30)
        )
    )
    assert found == {("u", "a"): 0.5, ("u", "b"): 0.25}


def test_low_and_missing_ratings_are_no_interest_but_make_an_item_seen(spark: SparkSession) -> None:
    events = log(
        spark,
        ("u", "low", "rating", 1, 2.0, False),
        ("u", "none", "rating", 1, None, False),
        ("u", "high", "rating", 1, 4.0, False),
        ("u", "view", "view", 1, None, False),
    )
    signal = SignalSettings(weights={"rating": 1.0, "view": 1.0}, min_value=3.5)
    settings: dict[str, Any] = {"as_of": AS_OF, "signal": signal}
    assert set(weights_of(interactions(events, **settings))) == {("u", "high"), ("u", "view")}
    summed = {
        r["item_id"]: (r["weight"], r["seen"]) for r in pairs(events, **settings, seen_types=["rating"]).collect()
    }
    assert summed == {"low": (0.0, True), "none": (0.0, True), "high": (1.0, True), "view": (1.0, False)}
    everything = pairs(events, **settings, seen_types=["*"]).collect()
    assert all(row["seen"] for row in everything)


def test_robots_and_the_future_leave_no_trace(spark: SparkSession) -> None:
    past = (("u", "a", "view", 1, None, False),)
    later = (
        ("u", "a", "view", 0, None, False),
        ("u", "b", "view", -1, None, False),
        ("robot", "a", "view", 1, None, True),
    )
    settings: dict[str, Any] = {"as_of": AS_OF, "signal": SignalSettings(weights={"view": 1.0})}
    assert weights_of(interactions(log(spark, *past, *later), **settings)) == {("u", "a"): 1.0}
    assert pairs(log(spark, *past, *later), **settings, seen_types=["*"]).count() == 1


def test_sums_do_not_depend_on_order_or_partitions(spark: SparkSession) -> None:
    events = log(spark, *((f"u{i % 3}", "a", "play", i * 0.37, i * 0.1, False) for i in range(60)))
    signal = SignalSettings(weights={"play": 0.1}, use_value="log", half_life_days=7.0)
    settings: dict[str, Any] = {"as_of": AS_OF, "signal": signal}
    one = weights_of(interactions(events.coalesce(1), **settings))
    many = weights_of(interactions(events.orderBy("event_id").repartition(7), **settings))
    assert one == many


def test_explicit_takes_the_latest_rating(spark: SparkSession) -> None:
    events = log(
        spark,
        ("u", "a", "rating", 5, 4.0, False),
        ("u", "a", "rating", 2, -1.5, False),
        ("u", "b", "rating", 2, None, False),
        ("u", "c", "view", 2, 9.0, False),
        ("u", "d", "rating", 40, 3.0, False),
        ("u", "e", "rating", 0, 3.0, False),
    )
    assert weights_of(ratings(events, as_of=AS_OF, window_days=30)) == {("u", "a"): -1.5}
    assert weights_of(ratings(events, as_of=AS_OF)) == {("u", "a"): -1.5, ("u", "d"): 3.0}


def kept_by_hand(rows: list[tuple[str, int, float | None]]) -> float:
    """Units that are kept, by a stack: a return takes from the newest purchases, and nothing from later ones."""
    stack: list[float] = []
    for kind, _, quantity in sorted(rows, key=lambda row: (-row[1], row[0] == "purchase")):
        units = 1.0 if quantity is None else quantity
        if kind == "purchase":
            stack.append(units)
            continue
        while units > 0 and stack:
            taken = min(units, stack[-1])
            units, stack[-1] = units - taken, stack[-1] - taken
            if not stack[-1]:
                stack.pop()
    return sum(stack)


RETURNED: dict[str, tuple[list[tuple[str, int, float | None]], float, int]] = {
    "whole": ([("purchase", 9, None), ("return", 3, None)], 0.0, 0),
    "half": ([("purchase", 9, 2.0), ("return", 3, 1.0)], 0.5, 1),
    "again": ([("purchase", 9, None), ("return", 5, None), ("purchase", 3, None)], 1.0, 1),
    "unknown": ([("return", 5, None), ("purchase", 3, None)], 1.0, 1),
    "newest": ([("purchase", 9, 1.0), ("purchase", 7, 4.0), ("return", 3, 3.0)], 1.25, 2),
    "both": ([("purchase", 9, 2.0), ("purchase", 7, 1.0), ("return", 3, 2.0)], 0.5, 1),
    "at once": ([("purchase", 3, None), ("return", 3, None)], 1.0, 1),
    "in future": ([("purchase", 3, None), ("return", 0, None)], 1.0, 1),
}
"""Item, to its (type, days before AS_OF, quantity); the weight, of 1 per purchase; the purchases that are counted."""


def bought_and_returned(spark: SparkSession, rows: dict[str, list[tuple[str, int, float | None]]]) -> DataFrame:
    return spark.createDataFrame(
        [
            (f"{item}{at}", "u", item, kind, AS_OF - timedelta(days=days), None, False, quantity)
            for item, events in rows.items()
            for at, (kind, days, quantity) in enumerate(events)
        ],
        f"{SCHEMA}, quantity double",
    )


def test_a_return_takes_its_purchase_back(spark: SparkSession) -> None:
    events = bought_and_returned(spark, {item: rows for item, (rows, _, _) in RETURNED.items()})
    signal = SignalSettings(weights={"purchase": 1.0})
    found = pairs(events, as_of=AS_OF, signal=signal, seen_types=["purchase"]).collect()
    assert {row["item_id"]: (row["weight"], row["n"]) for row in found} == {
        item: (weight, n) for item, (_, weight, n) in RETURNED.items()
    }
    assert all(row["seen"] for row in found)
    assert {row["item_id"] for row in found if row["last_time"] is None} == {"whole"}
    before = pairs(events, as_of=AS_OF - timedelta(days=3), signal=signal).collect()
    assert {row["weight"] for row in before if row["item_id"] in ("whole", "half")} == {1.0}
    off = pairs(events, as_of=AS_OF, signal=SignalSettings(weights={"purchase": 1.0}, net_returns=False)).collect()
    assert {row["item_id"]: row["weight"] for row in off}["both"] == 2.0


def test_units_that_are_kept_against_a_stack(spark: SparkSession) -> None:
    """With one unit of weight per unit bought, what is left is what a stack of purchases holds."""
    draw = random.Random(4)
    drawn = {
        f"i{at}": [
            ("purchase" if draw.random() < 0.6 else "return", draw.randint(1, 6), float(draw.randint(1, 4)))
            for _ in range(draw.randint(1, 7))
        ]
        for at in range(60)
    }
    # Two purchases at one instant are told apart by their size, the smaller one first; so they are here.
    rows = {
        item: sorted(events, key=lambda row: (-row[1], row[0] == "purchase", row[2])) for item, events in drawn.items()
    }
    events = bought_and_returned(spark, rows).withColumn("value", F.col("quantity"))
    signal = SignalSettings(weights={"purchase": 1.0}, use_value="linear")
    found = weights_of(pairs(events, as_of=AS_OF, signal=signal, seen_types=["*"]))
    wanted = {("u", item): kept_by_hand(events) for item, events in rows.items()}
    assert found == pytest.approx(wanted, abs=1e-5)
    assert len({round(units) for units in wanted.values()}) > 4
