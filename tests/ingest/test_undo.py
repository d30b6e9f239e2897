"""Units that are undone and repeated: the tables of a warehouse that only ever saw the corrected files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from jobs import clean
from recsys import data
from recsys.config import Config
from recsys.features.daily import daily_partials, day_counts
from recsys.ingest.undo import Undo
from recsys.pipeline import execute
from recsys.store import PinnedWarehouse, Warehouse
from recsys.store.commit import Prepared
from tests.ingest.support import Outcome, dataset, lines, source, write
from tests.ingest.support import clean as clean_folder

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
EVENT = {"event_id": "id", "user_id": "user", "item_id": "item", "event_type": "type", "event_time": "time"}
SHOWN = {"list_id": "list", "user_id": "user", "item_id": "item", "shown_at": "time", "position": "at"}
GOODS = {"item_id": "sku", "valid_from": "at", "title": "title"}
MAPPING = dataset(source(path="events", columns={**EVENT, "price": "price"}))
OTHER_TABLES = dataset(
    source(name="shown", table="impressions", path="shown", columns=SHOWN, optional=True),
    source(name="goods", table="items", path="goods", columns=GOODS, optional=True),
)
UNIT = "events/a +é%.json"


def row(name: str, user: str, time: str, item: str = "i1", **more: Any) -> dict[str, Any]:
    return {"id": name, "user": user, "item": item, "type": "view", "time": f"2024-05-{time}Z", **more}


TWICE = row("twice", "max", "03T09:00:00")
OTHER = {
    "events/b.json": [
        *[row("b1", "ann", "01T10:20:00"), row("b2", "ann", "01T11:05:00"), TWICE],
        *[row("b3", "rob", "02T08:00:10"), row("b4", "rob", "02T08:00:20"), row("b5", "rob", "02T08:05:00")],
        # Of the same days as the other file, and otherwise nothing to do with it.
        *[row("b6", "eve", "01T10:20:00"), row("b7", "eve", "03T11:05:00", price="n/a")],
    ],
}
FIRST = {
    UNIT: [
        *[row("a1", "ann", "01T10:00:00"), row("a2", "ann", "01T10:40:00"), TWICE],
        *[row("a3", "rob", "02T08:00:30"), row("a4", "rob", "02T08:00:40")],
        *[row("a5", "max", "01T12:00:00"), row("bad", "max", "01T12:30:00", price="n/a")],
    ],
}
CORRECTED = {
    UNIT: [
        *[row("a1", "ann", "01T10:00:00", "i9"), row("a3", "rob", "02T08:00:30")],
        *[row("a5", "max", "01T12:00:00"), row("bad", "max", "01T12:30:00", price=3)],
        *[row("new", "ann", "01T10:10:00"), row("worse", "max", "01T12:30:00", price="?")],
    ],
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
    deliver(folder, CORRECTED, OTHER)
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
    deliver(root, FIRST, OTHER)
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
            execute(clean.run, spark, config(root, warehouse, UNIT), AS_OF)
    assert content(cfg, spark, "events") == before
    assert content(cfg, spark, "robots") == {"robots": []}
    execute(clean.run, spark, cfg, AS_OF)
    assert content(cfg, spark, *expected) == expected
    rows = Warehouse(spark, cfg.warehouse).read(data.INGESTED).collect()
    assert {row["unit"]: (row["rows"], row["refused"]) for row in rows} == {UNIT: (6, 1), "events/b.json": (8, 1)}
    events, partial = Warehouse(spark, cfg.warehouse).read(data.EVENTS), daily_partials(first, entity="user")
    days = day_counts(events, {"user": partial}, since=date(2024, 5, 1), until=date(2024, 6, 1)).stale("user")
    assert days == [date(2024, 5, 1), date(2024, 5, 2)], "the event that two files held stays"


def at(day: int) -> datetime:
    return datetime(2024, 1, day)


def stored(spark: SparkSession, found: Outcome) -> dict[str, DataFrame]:
    """What cleaning returned, as it would be read back."""
    names = {name: data.BY_NAME[name].column_names for name in found.tables}
    rows = {name: [tuple(row[one] for one in names[name]) for row in rows] for name, rows in found.tables.items()}
    return {name: spark.createDataFrame(values, data.BY_NAME[name].ddl()) for name, values in rows.items()}


def taken_back(*keys: tuple[str, str]) -> Undo:
    tables = {one.table for one in OTHER_TABLES.sources if one.name in {source for source, _ in keys}}
    return Undo(frozenset(keys), frozenset(), frozenset(tables), frozenset())


def test_shown_lists_and_states_of_a_file_that_is_corrected(spark: SparkSession, tmp_path: Path) -> None:
    def shown(name: str, item: str, place: int) -> dict[str, Any]:
        return {"list": name, "user": "ann", "item": item, "time": "2024-05-01T10:00:00Z", "at": place}

    def good(sku: str, day: int, title: str) -> dict[str, Any]:
        return {"sku": sku, "at": f"2024-01-{day:02}", "title": title}

    deliver(tmp_path / "1", {"shown/1.json": [shown("l1", "a", 1), shown("l1", "b", 2)]})
    deliver(tmp_path / "1", {"shown/2.json": [shown("l2", "a", 1)]})
    deliver(tmp_path / "1", {"goods/1.json": [good("x", 1, "A"), good("y", 1, "gone")]})
    deliver(tmp_path / "1", {"goods/2.json": [good("x", 2, "A"), good("x", 3, "B")]})
    before = stored(spark, clean_folder(spark, OTHER_TABLES, tmp_path / "1"))
    states = {
        row["item_id"]: (row["seen_at"], row["seen_in"]) for row in before["items"].where("title != 'B'").collect()
    }
    assert states == {"x": ([at(1), at(2)], ["goods/1.json", "goods/2.json"]), "y": ([at(1)], ["goods/1.json"])}

    deliver(tmp_path / "2", {"shown/1.json": [shown("l1", "a", 3), shown("l3", "a", 1)]})
    undo = taken_back(("shown", "shown/1.json"), ("goods", "goods/1.json"))
    found = clean_folder(spark, OTHER_TABLES, tmp_path / "2", existing=before, undo=undo)
    assert sorted((row["list_id"], row["position"]) for row in found.tables["impressions"]) == [("l1", 3), ("l3", 1)]
    assert [tuple(row) for row in found.taken_back["impressions"]] == [("l1", "b")]
    # The file of the catalog is not there any more: what the other one told stays.
    assert sorted(
        (row["item_id"], row["valid_from"], row["title"], row["seen_in"]) for row in found.tables["items"]
    ) == [
        ("x", at(2), "A", ["goods/2.json"]),
        ("x", at(3), "B", ["goods/2.json"]),
    ]
