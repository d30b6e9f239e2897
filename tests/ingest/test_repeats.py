"""Exact duplicates and duplicate keys, within a batch and within lists, and which row stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys.ingest.flow import cleaned
from recsys.ingest.outcome import Origin
from tests.ingest.support import NOW, SETTINGS, clean, dataset, event, lines, opened, source, write
from tests.support.queries import counting_jobs

pytestmark = pytest.mark.spark

NO_ID = {
    "user_id": "user",
    "item_id": "item",
    "event_type": "type",
    "event_time": "time",
    "price": "price",
    "session_id": "session",
}


def test_one_of_equal_rows_stays(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "events.json", lines([event(), event(), event(id="e2"), event()]))
    found = clean(spark, dataset(), tmp_path)
    assert found.column("events", "event_id") == ["e1", "e2"]
    assert [(row["reasons"], row["copies"]) for row in found.quarantine] == [(["duplicate_row"], 2)]


def test_the_earliest_of_a_key_stays_then_the_smallest_hash(spark: SparkSession, tmp_path: Path) -> None:
    later, price = event(time="2024-05-01T10:00:02Z", price=1.0), event(price=3.0)
    write(tmp_path, "events.json", lines([later, event(price=2.0), price, later]))
    once = clean(spark, dataset(), tmp_path)
    kept = once.tables["events"][0]
    assert len(once.tables["events"]) == 1
    assert kept["price"] in (2.0, 3.0)
    assert once.reasons() == {"duplicate_key": 3}
    assert sorted(row["copies"] for row in once.quarantine) == [1, 2]
    write(tmp_path, "events.json", lines([price, later, later, event(price=2.0)]))
    again = clean(spark, dataset(), tmp_path)
    assert again.tables["events"][0]["price"] == kept["price"]


def test_without_an_id_the_content_is_the_id(spark: SparkSession, tmp_path: Path) -> None:
    """Regardless of file, order and how a number is written; a null price differs from 0."""
    rows = [event(price=1), event(price="1.0"), event(price=None), event(price=0)]
    write(tmp_path, "a/1.json", lines(rows))
    write(tmp_path, "a/2.json", lines(reversed(rows)))
    write(tmp_path, "b.json", lines(rows[:1]))
    whole = clean(spark, dataset(source(path="a", columns=NO_ID)), tmp_path)
    assert len(set(whole.column("events", "event_id"))) == 3
    assert whole.reasons() == {"duplicate_row": 5}
    one = clean(spark, dataset(source(path="b.json", columns=NO_ID)), tmp_path)
    assert one.tables["events"][0]["event_id"] in whole.column("events", "event_id")


def test_a_row_without_an_id_gets_one(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "events.json", lines([event(id=None), event(id=" ", item="i2"), event()]))
    ids = clean(spark, dataset(), tmp_path).column("events", "event_id")
    assert len(set(ids)) == 3
    assert sorted(map(len, ids)) == [2, 32, 32]


def test_many_repeats_take_the_path_without_a_broadcast(spark: SparkSession, tmp_path: Path) -> None:
    rows = [event(id=f"e{at % 50}") for at in range(200)]
    write(tmp_path, "events.json", lines(rows))
    settings = SETTINGS.model_copy(update={"bot_events_per_minute": 1000, "bot_events_per_hour": 1000})
    found = clean(spark, dataset(), tmp_path, settings=settings, broadcast_limit_mb=0)
    assert len(found.tables["events"]) == 50
    assert found.reasons() == {"duplicate_row": 150}


def test_lists_repeat_as_lists(spark: SparkSession, tmp_path: Path) -> None:
    """Joined texts with empty ends, a list sent twice, a list id reused for another list."""
    shown = {
        "list_id": "list",
        "session_id": "session",
        "shown_at": {"column": "at", "format": "unix_s"},
        "item_id": {"column": "items", "separator": "|"},
        "price": {"column": "prices", "separator": "|"},
    }
    one = {"list": "l1", "session": "s1", "at": 1714557600, "items": "a|b|c", "prices": "1|2|3"}
    other = {**one, "items": "d|e|f", "at": 1714557601}
    gap = {**one, "list": "l2", "items": "a||c"}
    short = {**one, "list": "l3", "prices": "1|2"}
    write(tmp_path, "l.json", lines([one, other, one, gap, short]))
    lists = {
        "name": "lists",
        "table": "impressions",
        "path": "l.json",
        "format": "json",
        "columns": shown,
        "explode": ["item_id", "price"],
    }
    found = clean(spark, dataset(lists), tmp_path)
    rows = sorted((r["position"], r["item_id"], r["price"], r["user_id"]) for r in found.tables["impressions"])
    assert rows == [(1, "a", 1.0, "anon:s1"), (2, "b", 2.0, "anon:s1"), (3, "c", 3.0, "anon:s1")]
    assert found.reasons() == {
        "duplicate_key": 1,
        "duplicate_row": 1,
        "missing:item_id": 1,
        "list_lengths_differ": 1,
    }


def test_a_basket_becomes_one_event_per_item(spark: SparkSession, tmp_path: Path) -> None:
    columns = {
        "event_id": "order",
        "user_id": "user",
        "event_type": {"literal": "purchase"},
        "event_time": "time",
        "item_id": "items",
        "quantity": "qtys",
    }
    rows = [{"order": "o1", "user": "u", "time": "2024-05-01", "items": ["a", "b", "a"], "qtys": [1, 2, 3]}]
    write(tmp_path, "o.json", lines(rows))
    found = clean(spark, dataset(source(path="o.json", columns=columns, explode=["item_id", "quantity"])), tmp_path)
    rows_found = sorted((r["event_id"], r["item_id"], r["quantity"], r["position"]) for r in found.tables["events"])
    assert rows_found == [("o1-1", "a", 1.0, None), ("o1-2", "b", 2.0, None), ("o1-3", "a", 3.0, None)]


def test_a_batch_costs_few_jobs_however_many_sources_it_has(spark: SparkSession, tmp_path: Path) -> None:
    """Fates, repeats and robots are each asked once for all sources; each source adds little but its own parsing."""
    goods = {
        "name": "goods",
        "table": "items",
        "path": "goods.json",
        "format": "json",
        "columns": {"item_id": "sku", "title": "title"},
    }
    people = {**goods, "name": "people", "table": "users", "path": "people.json", "columns": {"user_id": "id"}}
    write(tmp_path, "events.json", lines([event(), event(), event(id="e2")]))
    write(tmp_path, "goods.json", lines([{"sku": "i1", "title": "One"}] * 2))
    write(tmp_path, "people.json", lines([{"id": "u1"}] * 2))
    batch = opened(spark, dataset(source(), goods, people), tmp_path)
    with (
        counting_jobs(spark) as jobs,
        cleaned(batch.frames, origin=Origin(batch.dataset, batch.batch_id, NOW, batch.root), settings=SETTINGS) as rows,
    ):
        assert {one.table for one in rows.tallies} == {"events", "items", "users"}
    assert jobs.count <= 22
