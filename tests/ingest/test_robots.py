"""Verdicts on robots beside those of earlier batches, and declared test accounts."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import SparkSession

from recsys.ingest.robots import flag_robots, is_test_user, robots, told_before, with_known, with_tests
from recsys.ingest.settings import CleanSettings

pytestmark = pytest.mark.spark

FOUND = "user_id string, robot_since timestamp, score double, rules_hit array<string>"


def may(day: int) -> datetime:
    return datetime(2024, 5, day, tzinfo=UTC)


def test_days_that_are_judged_again_take_verdicts_back(spark: SparkSession) -> None:
    """The batch touched everybody but `away`, from May 2nd on."""
    before = [("gone", 9, "x"), ("old", 1, "x"), ("away", 9, "x"), ("same", 9, "x"), ("later", 9, "x")]
    now = [("new", 8, "y"), ("same", 9, "x"), ("later", 10, "y"), ("old", 8, "y")]
    known = spark.createDataFrame(
        [(user, may(day), 1.0, [rule], "b0") for user, day, rule in before], f"{FOUND}, batch_id string"
    )
    found = spark.createDataFrame([(user, may(day), 1.0, [rule]) for user, day, rule in now], FOUND)
    users = spark.createDataFrame(
        [(user,) for user in ("gone", "old", "same", "later", "new", "new")], "user_id string"
    )
    both = with_known(found, told_before(known), users=users, start=date(2024, 5, 2))
    rows = both.selectExpr("user_id", "day(robot_since) AS day", "rules_hit", "batch_id", "is_news").collect()
    assert {row["user_id"]: tuple(row[1:]) for row in rows} == {
        "gone": (None, None, None, True),
        "old": (1, ["x"], "b0", False),
        "away": (9, ["x"], "b0", False),
        "same": (9, ["x"], "b0", False),
        "later": (10, ["y"], None, True),
        "new": (8, ["y"], None, True),
    }


def test_tables_of_earlier_versions_have_no_rules(spark: SparkSession) -> None:
    known = spark.createDataFrame([("u", may(1), "b0")], "user_id string, robot_since timestamp, batch_id string")
    row = told_before(known).collect()[0]
    assert (row["score"], row["rules_hit"], row["batch_id"]) == (1.0, None, "b0")


def test_test_accounts_are_robots_from_the_start(spark: SparkSession) -> None:
    settings = CleanSettings(test_users=("qa-*", "m?n", "a.c"))
    names = ["qa-7", "qa", "mon", "moon", "a.c", "abc", "xqa-1"]
    schema = "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double"
    events = spark.createDataFrame([(name, name, "i", "view", may(3), None) for name in names], schema)
    found = with_tests(robots(events, settings), events, settings)
    flagged = flag_robots(events, found, time_column="event_time").where("is_bot").collect()
    assert sorted(row["user_id"] for row in flagged) == ["a.c", "mon", "qa-7"]
    assert found.where("robot_since = '1990-01-01' AND rules_hit = array('test_user')").count() == 3
    assert events.where(is_test_user(CleanSettings())).count() == 0
