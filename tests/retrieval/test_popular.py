"""Popularity: who counts, which window, segments, the catalog's tail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import sqrt
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.errors import ConfigError
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


# -- other scores


def test_older_events_count_less(spark: SparkSession) -> None:
    rows = [
        *(Row(user, "old", hours=20 * DAY) for user in "uvw"),
        # The weightiest after decay counts: a purchase of 30 days ago is worth 5/8, a view of today 1.
        Row("u", "new", "purchase", hours=30 * DAY),
        Row("u", "new", hours=1e-3),
        Row("v", "new", hours=10 * DAY),
    ]
    found = lists(spark, rows, keep=9, score="decayed", half_life_days=10)
    assert found == {"": [("new", pytest.approx(1.5, abs=1e-5)), ("old", 0.75)]}


def test_items_that_more_people_touch_of_late_are_trending(spark: SparkSession) -> None:
    users = spark.createDataFrame([(f"r{n}", "s") for n in range(3)], "user_id string, segment string")
    rows = [
        *(Row(f"r{n}", "rising", hours=1.0) for n in range(3)),
        Row("a", "rising", hours=15 * DAY),
        *(Row(f"f{n}", "falling", hours=15 * DAY) for n in range(4)),
        Row("b", "steady", hours=1.0),
        Row("c", "steady", hours=15 * DAY),
        # The same user again: once of late, once in all.
        Row("b", "steady", hours=14 * DAY),
    ]
    found = lists(spark, rows, keep=3, score="trending", prior_users=2, min_segment_users=1, users=users)
    share = 4 / 10
    # 3 of late where 4 x share were to be expected, and so on; everybody starts with 2.
    assert found[""] == [
        ("rising", pytest.approx(5 / (4 * share + 2))),
        ("steady", pytest.approx(3 / (2 * share + 2))),
        ("falling", pytest.approx(2 / (4 * share + 2))),
    ]
    assert found["s"] == [("rising", 1.0)], "of the segment's own, all is of late"


def wilson(successes: int, trials: int) -> float:
    rate, z = successes / trials, 1.96
    middle, spread = rate + z * z / (2 * trials), z * sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    return max(0.0, (middle - spread) / (1 + z * z / trials))


def test_rates_of_users_are_lower_bounds(spark: SparkSession) -> None:
    rows = [
        *(Row(f"u{n}", "proven", "view", 9.0) for n in range(20)),
        *(Row(f"u{n}", "proven", "purchase") for n in range(12)),
        Row("u0", "proven", "purchase", 3.0),
        Row("u0", "lucky", "purchase"),
        *(Row(f"u{n}", "seen", "view") for n in range(5)),
    ]
    cold = spark.createDataFrame([("cold", True, None)], "item_id string, available boolean, added_at timestamp")
    model = Popular(keep=9, score="rate", trial_types=["view"]).fit(replace(log_of(spark, rows), items=cold))
    assert [(r["item_id"], r["score"]) for r in sorted(model.frames["popular"].collect(), key=lambda r: r["rank"])] == [
        ("proven", pytest.approx(wilson(12, 20))),
        ("lucky", pytest.approx(wilson(1, 1))),
        ("seen", 0.0),
        ("cold", 0.0),
    ]
    assert wilson(1, 1) < wilson(12, 20)


def test_a_rate_of_good_ratings(spark: SparkSession) -> None:
    rows = [Row(f"u{n}", "film", "rating", value=2.0 + n) for n in range(4)] + [Row("u0", "film", "rating")]
    found = lists(
        spark, rows, keep=9, score="rate", success_types=["rating"], trial_types=["rating"], success_value=4.0
    )
    assert found == {"": [("film", pytest.approx(wilson(2, 4)))]}, "a rating without a value is a trial alone"


def test_reasons_claim_what_the_score_shows(spark: SparkSession) -> None:
    popular = spark.createDataFrame(
        [("", 1, "up", 1.2), ("", 2, "down", 0.9), ("s", 1, "up", 0.8), ("s", 2, "mine", 1.1)],
        "segment string, rank int, item_id string, score double",
    )
    wanted = spark.createDataFrame([("up", "s"), ("down", None), ("mine", "s")], "item_id string, user_segment string")
    rows, cases = PopularModel(Popular(score="trending"), {"popular": popular}).explain(wanted)
    text = F.coalesce(*(F.when(case.when, case.sentence) for case in cases))
    assert table(rows.select("item_id", text)) == [("down", None), ("mine", "Trending in s"), ("up", "Trending now")]


def test_settings_of_another_score_are_refused() -> None:
    with pytest.raises(ConfigError, match="score users takes no half_life_days; leave it out, or set score: decayed"):
        Popular(half_life_days=3)
    trending = Popular(score="trending", recent_days=3)
    assert Popular.model_validate(trending.model_dump(mode="json")) == trending, "whoever names all settings"
