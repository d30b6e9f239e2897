"""Units that are undone and repeated: the tables of a warehouse that only ever saw the corrected files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from jobs import clean
from recsys import data
from recsys.config import Config
from recsys.features.daily import daily_partials, day_counts
from recsys.pipeline import execute
from recsys.store import PinnedWarehouse, Warehouse
from recsys.store.commit import Prepared
from tests.ingest.support import clean as clean_folder
from tests.ingest.support import dataset, lines, source, write

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
EVENT = {"event_id": "id", "user_id": "user", "item_id": "item", "event_type": "type", "event_time": "time"}
SHOWN = {"list_id": "list", "user_id": "user", "item_id": "item", "shown_at": "time", "position": "at"}
MAPPING = dataset(
    source(path="events", columns={**EVENT, "price": "price"}),
    source(name="shown", table="impressions", path="shown", columns=SHOWN),
    source(name="goods", table="items", path="goods", columns={"item_id": "sku", "valid_from": "at", "title": "title"}),
)
UNDO = ["events/a *.json", "shown/1.json", "goods/1.json"]


def row(name: str, user: str, time: str, item: str = "i1", **more: Any) -> dict[str, Any]:
    return {"id": name, "user": user, "item": item, "type": "view", "time": f"2024-05-{time}Z", **more}


def shown(name: str, user: str, time: str) -> dict[str, Any]:
    return {"list": name, "user": user, "item": "i1", "time": f"2024-05-{time}Z", "at": 1}


def good(sku: str, at: str, title: str) -> dict[str, Any]:
    return {"sku": sku, "at": at, "title": title}


TWICE = row("twice", "max", "03T09:00:00")
OTHERS = {
    "events/b.json": [
        *[row("b1", "ann", "01T10:20:00"), row("b2", "ann", "01T11:05:00"), TWICE],
        *[row("b3", "rob", "02T08:00:10"), row("b4", "rob", "02T08:00:20"), row("b5", "rob", "02T08:05:00")],
        # Of the same days as the other file, and otherwise nothing to do with it.
        *[row("b6", "eve", "01T10:20:00"), row("b7", "eve", "03T11:05:00", price="n/a")],
    ],
    "goods/2.json": [good("i1", "2024-02-01", "A"), good("i1", "2024-03-01", "B")],
}
FIRST = {
    "events/a +é%.json": [
        *[row("a1", "ann", "01T10:00:00"), row("a2", "ann", "01T10:40:00"), TWICE],
        *[row("a3", "rob", "02T08:00:30"), row("a4", "rob", "02T08:00:40")],
        *[row("a5", "max", "01T12:00:00"), row("bad", "max", "01T12:30:00", price="n/a")],
    ],
    "shown/1.json": [shown("l1", "rob", "02T08:06:00"), shown("l2", "ann", "01T10:00:00")],
    "goods/1.json": [good("i1", "2024-01-01", "A"), good("i2", "2024-01-01", "gone")],
}
CORRECTED = {
    "events/a +é%.json": [
        *[row("a1", "ann", "01T10:00:00", "i9"), row("a3", "rob", "02T08:00:30")],
        *[row("a5", "max", "01T12:00:00"), row("bad", "max", "01T12:30:00", price=3)],
        *[row("new", "ann", "01T10:10:00"), row("worse", "max", "01T12:30:00", price="?")],
    ],
    "shown/1.json": [shown("l1", "rob", "02T08:06:00"), shown("l3", "ann", "01T10:00:00")],
    "goods/1.json": [good("i2", "2024-01-05", "Two")],
}


def config(root: Path, warehouse: Path, *again: str) -> Config:
    cleaning = {"quarantine_limit": 0.9, "session_gap_minutes": 30, "bot_events_per_minute": 3, "reingest": again}
    return Config.model_validate(
        {
            "warehouse": {"path": str(warehouse)},
            "input": {"root": str(root)},
            "dataset": MAPPING.model_dump(),
            "clean": cleaning,
        }
    )


def deliver(root: Path, *deliveries: dict[str, list[dict[str, Any]]]) -> None:
    for files in deliveries:
        for name, rows in files.items():
            write(root, name, lines(rows))


def content(cfg: Config, spark: SparkSession, *names: str) -> dict[str, list[str]]:
    """Return the rows of tables, sorted, without what tells of the batch."""
    return {name: told(name, Warehouse(spark, cfg.warehouse).read(data.BY_NAME[name]).collect()) for name in names}


def told(name: str, rows: Iterable[Row]) -> list[str]:
    table = data.BY_NAME[name]
    kept = [name for name in table.column_names if name not in (*table.volatile, "ingest_date", "batch_id")]
    return sorted(repr([row[name] for name in kept]) for row in rows)


def right(spark: SparkSession, folder: Path) -> dict[str, list[str]]:
    """What becomes of the corrected files where nothing else was ever seen."""
    deliver(folder, CORRECTED, OTHERS)
    found = clean_folder(spark, MAPPING, folder, settings=config(folder, folder).clean)
    rows = {row["event_id"]: row for row in found.tables["events"]}
    steps = {name: row["session_step"] for name, row in rows.items() if row["user_id"] == "ann"}
    assert steps == {"a1": 1, "new": 2, "b1": 3, "b2": 1}
    assert not any(row["is_bot"] for row in rows.values()), "three events a minute are no robot's"
    tables = {**found.tables, "quarantine": found.quarantine, "robots": []}
    return {name: told(name, rows) for name, rows in tables.items()}


def test_an_undo_that_was_killed_is_finished_by_the_next_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies before the events change, when flags of robots are gone already; the next run is told of no unit."""
    root, warehouse, commit = tmp_path / "raw", tmp_path / "w", Prepared.commit
    expected = right(spark, tmp_path / "right")
    deliver(root, FIRST, OTHERS)
    cfg = config(root, warehouse)
    execute(clean.run, spark, cfg, AS_OF)
    robots = [row["user_id"] for row in Warehouse(spark, cfg.warehouse).read(data.ROBOTS).collect()]
    assert robots == ["rob"], "four events a minute are"
    deliver(root, CORRECTED)
    first, before = PinnedWarehouse(spark, cfg.warehouse).read(data.EVENTS), content(cfg, spark, "events")

    def killed(one: Prepared, *args: Any) -> Any:
        if one.write.table is data.EVENTS:
            raise KeyboardInterrupt
        return commit(one, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Prepared, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            execute(clean.run, spark, config(root, warehouse, *UNDO), AS_OF)
    assert content(cfg, spark, "events") == before
    assert content(cfg, spark, "robots", "impressions") == {n: expected[n] for n in ("robots", "impressions")}
    execute(clean.run, spark, cfg, AS_OF)
    assert content(cfg, spark, *expected) == expected
    assert ledger(cfg, spark) == {
        "events/a +é%.json": (6, 1), "events/b.json": (8, 2), "shown/1.json": (2, 0), "goods/1.json": (1, 0),
        "goods/2.json": (2, 0),
    }  # fmt: skip
    events, partial = Warehouse(spark, cfg.warehouse).read(data.EVENTS), daily_partials(first, entity="user")
    days = day_counts(events, {"user": partial}, since=date(2024, 5, 1), until=date(2024, 6, 1)).stale("user")
    assert days == [date(2024, 5, 1), date(2024, 5, 2)], "the event that two files held stays"

    # A unit that is gone is taken back by its name alone; nothing else has to be read.
    (root / "goods/1.json").unlink()
    execute(clean.run, spark, config(root, warehouse, "goods/1.json"), AS_OF)
    assert [row["seen_in"] for row in Warehouse(spark, cfg.warehouse).read(data.ITEMS).collect()] == 2 * [
        ["goods/2.json"]
    ]
    assert "goods/1.json" not in ledger(cfg, spark)


def ledger(cfg: Config, spark: SparkSession) -> dict[str, tuple[int, int]]:
    rows = Warehouse(spark, cfg.warehouse).read(data.INGESTED).collect()
    return {row["unit"]: (row["rows"], row["refused"]) for row in rows}
