"""Popularity: who counts, which window, segments, the catalog's tail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.retrieval.audience import Audience
from recsys.retrieval.popular.retriever import Popular, PopularModel
from recsys.retrieval.settings import SignalSettings
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, Row, index, log_of, table

pytestmark = pytest.mark.spark

DAY = 24.0


def lists(spark: SparkSession, rows: list[Row], **settings: Any) -> dict[str, list[tuple[str, float]]]:
    users = settings.pop("users", None)
    model = Popular(**settings).fit(log_of(spark, rows, users=users), signal=SIGNAL)
    found: dict[str, list[tuple[str, float]]] = {}
    for row in model.frames["popular"].orderBy("segment", "rank").collect():
        found.setdefault(row["segment"], []).append((row["item_id"], row["score"]))
        assert row["rank"] == len(found[row["segment"]])
    return found


def test_each_user_counts_once_with_the_weightiest_act(spark: SparkSession) -> None:
    rows = [
        *(Row("fan", "a", "view", h) for h in range(1, 9)),
        Row("u", "b", "view"),
        Row("u", "b", "purchase"),
        Row("v", "c", "view"),
        Row("w", "c", "view"),
        Row("robot", "d", "purchase", bot=True),
        Row("u", "e", "other"),
        *FUTURE,
    ]
    assert lists(spark, rows, keep=10) == {"": [("b", 5.0), ("c", 2.0), ("a", 1.0)]}


def test_ratings_below_the_smallest_value_do_not_count(spark: SparkSession) -> None:
    rows = [Row("u", "a", "rating"), Row("v", "a", "rating"), Row("u", "b", "rating"), Row("u", "c", "view")]
    given = log_of(spark, rows)
    stars = F.when(F.col("item_id") == "b", 5.0).when(F.col("user_id") == "v", 2.0)
    rated = replace(given, events=given.events.withColumn("value", stars))
    signal = SignalSettings(weights={"rating": 1.0, "view": 1.0}, min_value=3.5)
    model = Popular(keep=5).fit(rated, signal=signal)
    assert {row["item_id"] for row in model.frames["popular"].collect()} == {"b", "c"}


def test_the_window_doubles_until_there_are_enough(spark: SparkSession) -> None:
    rows = [
        Row("u", "a", hours=5 * DAY),
        Row("u", "b", hours=15 * DAY),
        Row("v", "a", hours=15 * DAY),
        Row("u", "c", hours=30 * DAY),
    ]
    assert lists(spark, rows, keep=1, window_days=10) == {"": [("a", 1.0)]}
    assert lists(spark, rows, keep=2, window_days=10) == {"": [("a", 2.0), ("b", 1.0)]}
    assert lists(spark, rows, keep=9, window_days=10) == {"": [("a", 2.0), ("b", 1.0), ("c", 1.0)]}


def test_segments_that_are_large_enough(spark: SparkSession) -> None:
    users = spark.createDataFrame(
        [("u", "s"), ("v", "s"), ("w", "tiny"), ("x", None)], "user_id string, segment string"
    )
    rows = [Row("u", "a"), Row("v", "a"), Row("w", "b"), Row("x", "b"), Row("nobody", "b")]
    found = lists(spark, rows, keep=5, min_segment_users=2, users=users)
    assert found == {"": [("b", 3.0), ("a", 2.0)], "s": [("a", 2.0)]}


def test_a_list_is_the_segments_then_everybodys(spark: SparkSession) -> None:
    popular = spark.createDataFrame(
        [("", 1, "a", 9.0), ("", 2, "b", 8.0), ("", 4, "c", 7.0), ("s", 3, "c", 2.0), ("s", 5, "b", 1.0)],
        "segment string, rank int, item_id string, score double",
    )
    people = spark.createDataFrame([("u", "s"), ("v", None)], "user_id string, segment string")
    histories = spark.createDataFrame(
        [], "user_id string, item_id string, weight double, last_time timestamp, seen boolean"
    )
    audience = Audience(people, histories, index(spark, "item", ["a", "b", "c"]))
    exclude = spark.createDataFrame([("u", "b"), ("v", "a")], "user_id string, item_id string")
    found = PopularModel(Popular(), {"popular": popular}, audience).lists(
        people.select("user_id"), k=2, exclude=exclude
    )
    assert table(found) == [("u", "a", 2, 9.0), ("u", "c", 1, 2.0), ("v", "b", 1, 8.0), ("v", "c", 2, 7.0)]


def test_cold_items_fill_up_the_list_of_everybody(spark: SparkSession) -> None:
    items = spark.createDataFrame(
        [
            ("a", True, AS_OF),
            ("old", True, AS_OF - timedelta(days=9)),
            ("new", True, AS_OF),
            ("gone", False, AS_OF),
            ("undated", True, None),
        ],
        "item_id string, available boolean, added_at timestamp",
    )
    users = spark.createDataFrame([("u", "s")], "user_id string, segment string")
    log = replace(log_of(spark, [Row("u", "a", "purchase")], users=users), items=items)

    def filled(keep: int) -> list[tuple[Any, ...]]:
        return table(Popular(keep=keep, min_segment_users=1).fit(log, signal=SIGNAL).frames["popular"])

    both = [("", 1, "a", 5.0), ("s", 1, "a", 5.0)]
    assert filled(3) == sorted([*both, ("", 2, "new", 0.0), ("", 3, "old", 0.0)])
    assert len(filled(9)) == 5
    assert filled(1) == both
