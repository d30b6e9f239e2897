"""One literal row per reason; every rule that a row breaks is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys.ingest.rules import REASONS
from tests.ingest.support import Outcome, clean, dataset, event, lines, source, write

pytestmark = pytest.mark.spark

EVENTS: list[tuple[str, dict[str, Any] | str, list[str]]] = [
    ("clean", event(id="clean"), []),
    ("no price, no quantity", event(id="bare", price=None, qty=None), []),
    ("numbers as texts", event(id="texts", price="9.50", qty="2.0", step="1"), []),
    ("another zone", event(id="zone", time="2024-05-01T12:00:00+02:00"), []),
    ("spaces around", event(id="spaces", user="  u2 ", item=" i2"), []),
    ("anonymous", event(id="anon", user=None), []),
    ("no item", event(item=None), ["missing:item_id"]),
    ("null item", {**event(), "item": None}, ["missing:item_id"]),
    ("empty item", event(item=""), ["missing:item_id"]),
    ("blank item", event(item="   "), ["missing:item_id"]),
    ("nobody", event(user=None, session=None), ["missing:user_id"]),
    ("no type", event(type=None), ["missing:event_type"]),
    ("no time", event(time=None), ["missing:event_time"]),
    ("bad time", event(time="2024-13-45T99:61:00"), ["bad_time:event_time"]),
    ("time of day alone", event(time="10:00:00"), ["bad_time:event_time"]),
    ("number for time", event(time=1714557600), ["bad_time:event_time"]),
    ("future", event(time="2034-05-01T10:00:00Z"), ["future_time"]),
    ("latest itself", event(time="2024-07-02T00:00:00Z"), ["future_time"]),
    ("late", event(time="2024-03-31T23:59:59Z"), ["late"]),
    ("in time", event(id="in time", time="2024-04-01T00:00:00Z"), []),
    ("ancient", event(time="1970-01-01T00:00:00Z"), ["ancient_time", "late"]),
    ("unknown type", event(type="hover_3"), ["unknown_event_type"]),
    ("negative price", event(price=-0.01), ["negative:price"]),
    ("free", event(id="free", price=0), []),
    ("no units", event(qty=0), ["not_positive:quantity"]),
    ("fewer units", event(qty=-2), ["not_positive:quantity"]),
    ("price n/a", event(price="n/a"), ["bad_type:price"]),
    ("price NaN", event(price="NaN"), ["bad_type:price"]),
    ("price endless", event(price="1e999"), ["bad_type:price"]),
    ("price of Java", event(price="12d"), ["bad_type:price"]),
    ("price with a comma", event(price="9,50"), ["bad_type:price"]),
    ("price as a list", event(price=[1, 2]), ["bad_type:price"]),
    ("half a step", event(step=1.5), ["bad_type:session_step"]),
    ("step too large", event(step=99999999999), ["bad_type:session_step"]),
    ("encoding", event(item="SKU-\ufffd1"), ["bad_encoding:item_id"]),
    ("long id", event(item="x" * 41), ["too_long:item_id"]),
    ("cut line", '{"id": "e1", "user": "u1", "it', ["broken_record"]),
    ("no JSON", "id,user,item", ["broken_record"]),
    ("no object", '"text"', ["broken_record"]),
    ("null", "null", ["broken_record"]),
    (
        "all at once",
        event(user=None, session=None, item=" ", type="x", time="soon", price="n/a", qty=-1),
        ["bad_time:event_time", "bad_type:price", "missing:item_id", "missing:user_id", "not_positive:quantity"]
        + ["unknown_event_type"],
    ),
]
LISTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"list": "l1", "items": ["a", "b"], "prices": [1, 2], "p": [0.5, 1.0]}, []),
    ({"list": "l2", "items": ["a", "b"], "prices": None, "p": [0.5, 0.5]}, []),
    ({"list": "l3", "items": ["a", "b"], "prices": [1], "p": [0.5, 0.5]}, ["list_lengths_differ"]),
    ({"list": "l4", "items": ["a", "b"], "prices": [1, "x"], "p": [0.5, 0.5]}, ["bad_type:price"]),
    ({"list": "l5", "items": ["a", None], "prices": [1, 2], "p": [0.5, 0.5]}, ["missing:item_id"]),
    ({"list": "l6", "items": [], "prices": [], "p": []}, ["missing:item_id"]),
    ({"list": "l7", "items": None, "prices": [1], "p": [1]}, ["missing:item_id"]),
    ({"list": "l8", "items": ["a", "a"], "prices": [1, 2], "p": [0.5, 0.5]}, ["repeated_item"]),
    ({"list": "l9", "items": list("abcdef"), "prices": None, "p": None}, ["list_too_long"]),
    ({"list": "l10", "items": ["a"], "prices": [-1], "p": [0]}, ["negative:price", "out_of_range:propensity"]),
    ({"list": "l11", "items": ["a"], "prices": [1], "p": [1.01]}, ["out_of_range:propensity"]),
    ({"list": "l12", "items": ["x" * 41], "prices": [1], "p": [1]}, ["too_long:item_id"]),
    ({"list": "l13", "items": ["\ufffd"], "prices": [1], "p": [1]}, ["bad_encoding:item_id"]),
    ({"list": None, "items": ["a"], "prices": [1], "p": [1]}, ["missing:list_id"]),
]
SHOWN = {
    "name": "lists",
    "table": "impressions",
    "path": "lists.json",
    "format": "json",
    "columns": {
        "list_id": "list",
        "user_id": "user",
        "shown_at": {"column": "at", "format": "unix_ms"},
        "item_id": "items",
        "price": "prices",
        "propensity": "p",
    },
    "explode": ["item_id", "price", "propensity"],
}


@pytest.fixture(scope="module")
def outcome(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Clean all rows in one run; a number in each broken row tells it from the others."""
    root = tmp_path_factory.mktemp("reasons")
    rows: list[Any] = []
    for at, (_, row, reasons) in enumerate(EVENTS):
        if isinstance(row, str):
            rows.append(row)
        else:
            rows.append({**row, "id": f"broken-{at}"} if reasons else row)
    write(root, "events.json", lines(rows))
    shown = [{**row, "user": "u1", "at": 1714557600000} for row, _ in LISTS]
    write(root, "lists.json", lines({k: v for k, v in row.items() if v is not None} for row in shown))
    yield clean(spark, dataset(source(), SHOWN), root, late_before={"actions": datetime(2024, 4, 1, tzinfo=UTC)})


@pytest.mark.parametrize("at", range(len(EVENTS)), ids=[case[0] for case in EVENTS])
def test_event(outcome: Outcome, at: int) -> None:
    _, row, expected = EVENTS[at]
    if isinstance(row, str):
        found = [one for one in outcome.quarantine if one["raw"] == row]
    else:
        mark = f'"broken-{at}"' if expected else f'"id": "{row["id"]}"'
        found = [one for one in outcome.quarantine if mark in one["raw"]]
    assert [one["reasons"] for one in found] == ([expected] if expected else [])
    if not expected and isinstance(row, dict):
        assert row["id"] in outcome.column("events", "event_id")


@pytest.mark.parametrize("at", range(len(LISTS)))
def test_list(outcome: Outcome, at: int) -> None:
    row, expected = LISTS[at]
    mark = f'"list": "{row["list"]}"' if row["list"] else '{"items": ["a"]'
    found = [one["reasons"] for one in outcome.quarantine if one["source_name"] == "lists" and mark in one["raw"]]
    assert found == ([expected] if expected else [])


def test_values_are_converted_to_the_contract(outcome: Outcome) -> None:
    rows = {row["event_id"]: row for row in outcome.tables["events"]}
    assert (rows["texts"]["price"], rows["texts"]["quantity"], rows["texts"]["session_step"]) == (9.5, 2.0, 1)
    assert rows["clean"]["value"] == 19.0
    assert rows["bare"]["value"] is None
    assert rows["zone"]["event_time"] == rows["clean"]["event_time"]
    assert (rows["spaces"]["user_id"], rows["spaces"]["item_id"]) == ("u2", "i2")
    assert rows["anon"]["user_id"] == "anon:s1"
    assert str(rows["clean"]["event_date"]) == "2024-05-01"


def test_lists_become_rows(outcome: Outcome) -> None:
    rows = [row for row in outcome.tables["impressions"] if row["list_id"] == "l1"]
    assert sorted((r["position"], r["item_id"], r["price"], r["propensity"]) for r in rows) == [
        (1, "a", 1.0, 0.5),
        (2, "b", 2.0, 1.0),
    ]
    assert [r["price"] for r in outcome.tables["impressions"] if r["list_id"] == "l2"] == [None, None]


def test_refused_rows_keep_their_origin(outcome: Outcome) -> None:
    for row in outcome.quarantine:
        assert row["source_file"] == ("lists.json" if row["target_table"] == "impressions" else "events.json")
        assert (row["source"], row["batch_id"], row["copies"]) == ("shop", outcome.batch_id, 1)


def test_every_row_is_kept_or_refused(outcome: Outcome) -> None:
    kept = len(outcome.tables["events"])
    refused = sum(row["copies"] for row in outcome.quarantine if row["target_table"] == "events")
    assert kept + refused == len(EVENTS)


def test_every_reason_is_in_the_vocabulary(outcome: Outcome) -> None:
    rules = {name.partition(":")[0] for name in REASONS}
    named = {reason.partition(":")[0] for row in outcome.quarantine for reason in row["reasons"]}
    assert named <= rules
    # Repeats and currencies have tests of their own.
    assert rules - named == {"duplicate_row", "duplicate_key", "unknown_currency"}
