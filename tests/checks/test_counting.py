"""What the queries count, on literal rows, and the job that writes the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import check
from recsys import data
from recsys.checks.counting import gather
from recsys.checks.facts import NewValues, Past
from recsys.config import load_config
from recsys.errors import DataError
from recsys.pipeline.job import execute
from recsys.store import Warehouse
from tests.features import logs
from tests.features.logs import Row, event, impression

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 5, 8, 12, 30, tzinfo=UTC)
SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def state(table: data.Table, **values: Any) -> Row:
    row: Row = dict.fromkeys(table.column_names)
    provenance = {"source": "test", "batch_id": "old", "ingested_at": AS_OF, "is_current": True, "available": True}
    return {**row, "valid_from": SINCE_1970, **{k: v for k, v in provenance.items() if k in row}, **values}


def refused(table: str, batch: str, copies: int, *reasons: str) -> Row:
    row: Row = dict.fromkeys(data.QUARANTINE.column_names, "x")
    when = {"ingest_date": AS_OF.date(), "ingested_at": AS_OF}
    hashed = f"{table}{batch}{copies}"
    return {
        **row, **when, "row_hash": hashed, "target_table": table, "batch_id": batch, "copies": copies,
        "reasons": list(reasons),
    }  # fmt: skip


EVENTS = [
    event(event_id="a", user_id="u1", item_id="i1", event_time=ago(0.1), device="tv", list_id="l1", batch_id="new"),
    event(event_id="b", user_id="u2", item_id="i2", event_time=ago(1), device="tv", batch_id="new"),
    event(
        event_id="c", user_id="anon:s", item_id="i1", event_time=ago(0.5), device="web", list_id="l9", batch_id="new"
    ),
    event(event_id="d", user_id="u1", item_id="i9", event_time=ago(1.01), device="web", batch_id="new"),
    event(event_id="e", user_id="u1", item_id="i9", event_time=ago(7), device=None, event_type="cart", batch_id="old"),
]
"""A day ago to the microsecond is still the newest day: it is the 24 hours before the instant."""
LISTS = [
    impression(list_id="l1", item_id="i1", user_id="u1", shown_at=ago(0.2), position=1, policy="p2", batch_id="new"),
    impression(list_id="l2", item_id="i1", user_id="u1", shown_at=ago(3), position=1, policy="p1", batch_id="old"),
]
ITEMS = [state(data.ITEMS, item_id="i1", price=1.0), state(data.ITEMS, item_id="i2", valid_from=ago(0.3))]
USERS = [state(data.USERS, user_id="u2", country="DE")]
REFUSED = [
    refused("events", "new", 3, "missing:item_id", "bad_time:event_time"),
    refused("events", "new", 2, "duplicate_row"),
    refused("events", "old", 50, "duplicate_row"),
]


def past(spark: SparkSession) -> Past:
    def frame(table: data.Table, rows: Iterable[Row]) -> DataFrame:
        return logs.frame(spark, table, list(rows))

    events, lists = frame(data.EVENTS, EVENTS), frame(data.IMPRESSIONS, LISTS)
    items, users = frame(data.ITEMS, ITEMS), frame(data.USERS, USERS)
    older = {**EVENTS[0], "event_id": "older", "event_time": ago(400)}
    return Past(
        events=events,
        impressions=lists,
        items=(items, items.where("item_id = 'i1'")),
        users=(users, users),
        quarantine=frame(data.QUARANTINE, REFUSED),
        whole={"events": events.unionByName(frame(data.EVENTS, [older])), "impressions": lists},
    )


def test_all_facts(spark: SparkSession) -> None:
    found = gather(past(spark), as_of=AS_OF)
    ages = [0, 0, 0, 1, 6]
    expected = Counter(("events", row["event_type"], age) for row, age in zip(EVENTS, ages, strict=True))
    states = {("items", "", 0): 2, ("items", "", 1): 1, ("users", "", 0): 1, ("users", "", 1): 1}
    assert found.rows == {**expected, ("impressions", "", 0): 1, ("impressions", "", 2): 1, **states}
    nulls = {key: n for key, n in found.nulls.items() if key[1] in ("device", "price", "country", "list_id")}
    assert {key: n for key, n in nulls.items() if key[0] == "events" and key[1] in ("device", "list_id")} == {
        **{("events", "device", age): n for age, n in ((0, 0), (1, 0), (6, 1))},
        **{("events", "list_id", age): 1 for age in (0, 1, 6)},
    }
    assert (nulls["items", "price", 0], nulls["items", "price", 1], nulls["users", "country", 0]) == (1, 0, 0)
    assert found.latest == {"events": ago(0.1), "impressions": ago(0.2)}
    assert found.new["events", "device"] == NewValues(values=1, rows=2, newest=3, before=1, example="tv")
    assert found.new["events", "event_type"] == NewValues(values=0, rows=0, newest=3, before=2, example=None)
    assert found.new["impressions", "policy"] == NewValues(values=1, rows=1, newest=1, before=1, example="p2")
    assert found.known == {"items": (3, 3), "users": (1, 2), "lists": (1, 2)}
    assert found.kept == {"events": 5, "impressions": 1}
    assert found.refused == {
        ("events", ""): 5,
        ("events", "missing:item_id"): 3,
        ("events", "bad_time:event_time"): 3,
        ("events", "duplicate_row"): 2,
    }


def test_the_job_keeps_what_it_found_even_where_that_stops_it(spark: SparkSession, tmp_path: Path) -> None:
    """A log alone, which ended long before the window: no catalog, no lists, no profiles, nothing in quarantine."""
    config = load_config(overrides=[f"warehouse.path={tmp_path}/w"])
    warehouse = Warehouse(spark, config.warehouse)
    warehouse.replace(data.EVENTS, logs.frame(spark, data.EVENTS, EVENTS[:1]), where={})
    with pytest.raises(DataError, match=r"freshness of events: the newest row is of .* 100\.1 days old .* bound 60"):
        execute(check.run, spark, config, AS_OF + timedelta(days=100))
    (row,) = warehouse.read(data.CHECKS).collect()
    assert (row["as_of_key"], row["check_name"], row["status"]) == ("20240816T123000Z", "freshness", "stop")
    assert row["run_id"] == warehouse.read(data.RUNS).where("job = 'check'").collect()[0]["run_id"]
