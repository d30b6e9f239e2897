"""Popularity: who counts, which window, segments, the catalogue's tail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.retrieval.popular import PopularModel, PopularRetriever, with_catalogue
from tests.retrieval.shop import AS_OF, FUTURE, WEIGHTS, Row, frames, table

pytestmark = pytest.mark.spark

DAY = 24.0


def lists(spark: SparkSession, rows: list[Row], **settings: Any) -> dict[str, list[tuple[str, float]]]:
    users = settings.pop("users", None)
    model = PopularRetriever(weights=WEIGHTS, **settings).fit(frames(spark, rows, users=users))
    found: dict[str, list[tuple[str, float]]] = {}
    for row in model.popular.orderBy("segment", "rank").collect():
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
    assert lists(spark, rows, k=10) == {"": [("b", 5.0), ("c", 2.0), ("a", 1.0)]}


def test_ratings_below_the_smallest_value_do_not_count(spark: SparkSession) -> None:
    rows = [Row("u", "a", "rating"), Row("v", "a", "rating"), Row("u", "b", "rating"), Row("u", "c", "view")]
    given = frames(spark, rows)
    stars = F.when(F.col("item_id") == "b", 5.0).when(F.col("user_id") == "v", 2.0)
    rated = replace(given, events=given.events.withColumn("value", stars))
    model = PopularRetriever(k=5, weights={"rating": 1.0, "view": 1.0}, min_value=3.5).fit(rated)
    assert {row["item_id"] for row in model.popular.collect()} == {"b", "c"}


def test_the_window_doubles_until_there_are_enough(spark: SparkSession) -> None:
    rows = [
        Row("u", "a", hours=5 * DAY),
        Row("u", "b", hours=15 * DAY),
        Row("v", "a", hours=15 * DAY),
        Row("u", "c", hours=30 * DAY),
    ]
    assert lists(spark, rows, k=1, window_days=10) == {"": [("a", 1.0)]}
    assert lists(spark, rows, k=2, window_days=10) == {"": [("a", 2.0), ("b", 1.0)]}
    assert lists(spark, rows, k=9, window_days=10) == {"": [("a", 2.0), ("b", 1.0), ("c", 1.0)]}


def test_segments_that_are_large_enough(spark: SparkSession) -> None:
    users = spark.createDataFrame(
        [("u", "s"), ("v", "s"), ("w", "tiny"), ("x", None)], "user_id string, segment string"
    )
    rows = [Row("u", "a"), Row("v", "a"), Row("w", "b"), Row("x", "b"), Row("nobody", "b")]
    found = lists(spark, rows, k=5, min_segment_users=2, users=users)
    assert found == {"": [("b", 3.0), ("a", 2.0)], "s": [("a", 2.0)]}


def test_a_list_is_the_segments_then_everybodys(spark: SparkSession) -> None:
    popular = spark.createDataFrame(
        [("", 1, "a", 9.0), ("", 2, "b", 8.0), ("", 4, "c", 7.0), ("s", 3, "c", 2.0), ("s", 5, "b", 1.0)],
        "segment string, rank int, item_id string, score double",
    )
    segments = spark.createDataFrame([("u", "s")], "user_id string, segment string")
    users = spark.createDataFrame([("u",), ("v",)], "user_id string")
    exclude = spark.createDataFrame([("u", "b"), ("v", "a")], "user_id string, item_id string")
    found = PopularModel(popular, segments).recommend(users, k=2, exclude=exclude)
    assert table(found) == [("u", "a", 2, 9.0), ("u", "c", 1, 2.0), ("v", "b", 1, 8.0), ("v", "c", 2, 7.0)]


def test_cold_items_fill_up_the_list_of_everybody(spark: SparkSession) -> None:
    popular = spark.createDataFrame(
        [("", 1, "a", 9.0), ("s", 1, "a", 2.0)], "segment string, rank int, item_id string, score double"
    )
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
    filled = with_catalogue(popular, items, k=3)
    assert table(filled) == [("", 1, "a", 9.0), ("", 2, "new", 0.0), ("", 3, "old", 0.0), ("s", 1, "a", 2.0)]
    assert with_catalogue(popular, items, k=9).count() == 5
    assert table(with_catalogue(popular, items, k=1)) == table(popular)
