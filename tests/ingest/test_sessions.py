"""Sessions, steps and robots: against results derived by hand, and unaffected by later events."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.ingest.robots import flag_robots, robots
from recsys.ingest.sessions import cut_sessions, number_steps
from tests.ingest.support import SETTINGS, clean, dataset, event, lines, source, write

pytestmark = pytest.mark.spark

START = datetime(2024, 5, 1, 10, 0)
SCHEMA = (
    "event_id string, user_id string, event_time timestamp, session_id string, session_step int, mine boolean, "
    "item_id string, event_type string, value double"
)


def frame(spark: SparkSession, rows: list[tuple[str, str, float, str | None]]) -> DataFrame:
    """Make events from id, user, minutes after the start, and session; those without a session are to be cut."""
    values = [(i, u, START + timedelta(minutes=m), s, None, s is None, "i", "view", None) for i, u, m, s in rows]
    return spark.createDataFrame(values, SCHEMA)


def cut(rows: DataFrame) -> dict[str, tuple[Any, Any]]:
    done = number_steps(cut_sessions(rows, rows=F.col("mine"), gap_minutes=30), rows=F.lit(True))
    return {row["event_id"]: (row["session_id"], row["session_step"]) for row in done.collect()}


def test_a_gap_longer_than_the_limit_cuts(spark: SparkSession) -> None:
    found = cut(frame(spark, [("a", "u", 0, None), ("b", "u", 30, None), ("c", "u", 60.5, None), ("d", "v", 0, None)]))
    assert [found[x][1] for x in "abcd"] == [1, 2, 1, 1]
    assert found["a"][0] == found["b"][0]
    assert len({found["a"][0], found["c"][0], found["d"][0]}) == 3


def test_steps_go_by_time_then_id(spark: SparkSession) -> None:
    found = cut(frame(spark, [("b", "u", 0, None), ("a", "u", 0, None), ("c", "u", -1, None)]))
    assert [found[x][1] for x in "cab"] == [1, 2, 3]


def test_sessions_of_the_source_are_kept_and_numbered(spark: SparkSession) -> None:
    found = cut(frame(spark, [("a", "u", 500, "s1"), ("b", "u", 0, "s1"), ("c", "u", 0, None)]))
    assert found["b"] == ("s1", 1)
    assert found["a"] == ("s1", 2)
    assert found["c"][0].startswith("s-")


def test_later_events_change_no_earlier_session(spark: SparkSession) -> None:
    early = [(f"e{k}", f"u{k % 3}", k * 17.0, None) for k in range(40)]
    late = [(f"l{k}", f"u{k % 3}", 40 * 17 + k * 3.0, None) for k in range(40)]
    before, after = cut(frame(spark, early)), cut(frame(spark, early + late))
    assert {name: after[name] for name in before} == before


def marked(rows: DataFrame) -> dict[str, bool]:
    found = robots(rows, SETTINGS)
    return {row["event_id"]: row["is_bot"] for row in flag_robots(rows, found, time_column="event_time").collect()}


def test_a_robot_is_flagged_from_the_end_of_its_minute(spark: SparkSession) -> None:
    fast = [(f"f{k}", "fast", 0.1 * k, None) for k in range(4)] + [
        ("f-later", "fast", 1, None),
        ("f-far", "fast", 9999, None),
    ]
    slow = [(f"s{k}", "slow", 0.1 * k, None) for k in range(3)] + [("s-later", "slow", 1, None)]
    found = marked(frame(spark, fast + slow))
    assert {name for name, is_bot in found.items() if is_bot} == {"f-later", "f-far"}


def test_a_robot_is_flagged_from_the_end_of_its_hour(spark: SparkSession) -> None:
    steady = [(f"h{k}", "steady", k * 2.0, None) for k in range(7)]
    found = marked(frame(spark, [*steady, ("in", "steady", 59, None), ("after", "steady", 60, None)]))
    assert {name for name, is_bot in found.items() if is_bot} == {"after"}


def test_a_flag_depends_on_earlier_events_only(spark: SparkSession) -> None:
    early = [(f"e{k}", f"u{k % 4}", k * 0.05, None) for k in range(60)]
    late = [(f"l{k}", f"u{k % 4}", 60 * 0.05 + k * 0.001, None) for k in range(400)]
    before, after = marked(frame(spark, early)), marked(frame(spark, early + late))
    assert any(before.values())
    assert {name: after[name] for name in before} == before


def test_sessions_and_robots_within_the_whole_of_cleaning(spark: SparkSession, tmp_path: Path) -> None:
    """Sources without sessions, and shown lists to a robot."""
    columns = {"user_id": "user", "item_id": "item", "event_type": "type", "event_time": "time"}
    rows = [event(item=f"i{k}", time=f"2024-05-01T10:00:{k:02d}Z") for k in range(5)]
    rows.append(event(item="late", time="2024-05-01T10:01:00Z"))
    write(tmp_path, "events.json", lines(rows))
    shown = {
        "name": "lists",
        "table": "impressions",
        "path": "l.json",
        "format": "json",
        "columns": {"list_id": "id", "user_id": "user", "shown_at": "time", "item_id": "item", "position": "step"},
    }
    write(tmp_path, "l.json", lines([event(id="l1"), event(id="l2", time="2024-05-01T10:01:00Z")]))
    found = clean(spark, dataset(source(columns=columns), shown), tmp_path)
    by_item = {row["item_id"]: row for row in found.tables["events"]}
    assert [by_item[f"i{k}"]["session_step"] for k in range(5)] == [1, 2, 3, 4, 5]
    assert by_item["late"]["is_bot"] and not by_item["i4"]["is_bot"]
    assert {row["list_id"]: row["is_bot"] for row in found.tables["impressions"]} == {"l1": False, "l2": True}
