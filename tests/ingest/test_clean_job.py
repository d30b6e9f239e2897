"""The job itself: what it writes in the first run, in a re-run and in later batches, and that a limit stops it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import clean
from recsys import data
from recsys.config import Config
from recsys.errors import ConfigError, DataError
from recsys.pipeline import execute
from recsys.store import Warehouse
from tests.ingest.support import EVENT_COLUMNS, dataset, event, lines, opened, source, write
from tests.store.jobs import is_done

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 7, 1, tzinfo=UTC)
ITEMS = {
    "name": "goods",
    "table": "items",
    "path": "goods.csv",
    "format": "csv",
    "columns": {"item_id": "sku", "title": "title"},
    "optional": True,
}


def config(root: Path, warehouse: Path, **more: Any) -> Config:
    mapping = dataset(source(path="events"), ITEMS)
    return Config.model_validate(
        {"warehouse": {"path": str(warehouse)}, "input": {"root": str(root)}, "dataset": mapping.model_dump(), **more}
    )


def content(warehouse: Warehouse) -> dict[str, list[Any]]:
    """Return every table's rows, sorted, without the columns that differ from run to run."""
    found = {}
    for table in (data.EVENTS, data.ITEMS, data.QUARANTINE):
        names = [name for name in table.column_names if name not in (*table.volatile, "ingest_date")]
        rows = warehouse.read(table, required=False).select(*names).collect()
        found[table.name] = sorted(map(repr, rows))
    return found


def held(spark: SparkSession) -> dict[int, str]:
    """Return what is in the cache; Delta itself keeps the state of its tables there."""
    rdds = {int(rdd.id()): str(rdd.rdd().name()) for rdd in spark.sparkContext._jsc.getPersistentRDDs().values()}
    return {number: name for number, name in rdds.items() if "Delta Table State" not in name}


@pytest.fixture(autouse=True)
def nothing_left(spark: SparkSession) -> Iterator[None]:
    """Check that a test leaves nothing in the cache beside what was there."""
    before = held(spark)
    yield
    assert held(spark).keys() <= before.keys()


def test_re_runs_and_later_batches(spark: SparkSession, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    cfg = config(root, tmp_path / "w", clean={"quarantine_limit": 0.5})
    warehouse = Warehouse(spark, cfg.warehouse)
    write(root, "events/1.json", lines([event(), event(id="e2", price="n/a"), event(id="e3"), event(id="e3")]))
    write(root, "goods.csv", "sku,title\ni1,One\n")
    execute(clean.run, spark, cfg, AS_OF)
    first = content(warehouse)
    assert [len(first[name]) for name in ("events", "items", "quarantine")] == [2, 1, 2]

    execute(clean.run, spark, cfg, AS_OF)
    assert content(warehouse) == first

    # The next delivery sends an event again, under another file name, and changes a title.
    (root / "events/1.json").unlink()
    write(root, "events/2.json", lines([event(), event(id="e4", time="2024-06-01T00:00:00Z")]))
    write(root, "goods.csv", "sku,title\ni1,Uno\ni2,Two\n")
    execute(clean.run, spark, cfg, AS_OF)
    rows = {row["event_id"]: row for row in warehouse.read(data.EVENTS).collect()}
    assert sorted(rows) == ["e1", "e3", "e4"]
    assert rows["e1"]["batch_id"] == rows["e3"]["batch_id"] != rows["e4"]["batch_id"]
    assert {row["item_id"]: row["title"] for row in warehouse.read(data.ITEMS).collect()} == {
        "i1": "Uno",
        "i2": "Two",
    }
    assert len({row["batch_id"] for row in warehouse.read(data.QUARANTINE).collect()}) == 1


def test_nothing_is_written_beyond_the_limit(spark: SparkSession, tmp_path: Path) -> None:
    cfg = config(tmp_path / "raw", tmp_path / "w")
    write(tmp_path / "raw", "events/1.json", lines([event(), event(id="e2", price="n/a")]))
    with pytest.raises(DataError, match=r"events: 50% of 2 rows are broken.*bad_type:price in 1.*1\.json"):
        execute(clean.run, spark, cfg, AS_OF)
    assert not any(Warehouse(spark, cfg.warehouse).exists(table) for table in (data.EVENTS, data.QUARANTINE))


def test_a_batch_is_identified_by_names_and_sizes(spark: SparkSession, tmp_path: Path) -> None:
    for place in ("here", "there"):
        write(tmp_path / place, "events/1.json", lines([event()]))
    mapping = dataset(source(path="events"))
    here, there = (opened(spark, mapping, tmp_path / place).batch_id for place in ("here", "there"))
    assert here == there
    write(tmp_path / "there", "events/2.json", lines([event()]))
    assert opened(spark, mapping, tmp_path / "there").batch_id != here


def changed(cfg: Config, **changes: Any) -> Config:
    """Return the same config with another mapping."""
    plain = cfg.model_dump(mode="json")
    plain["dataset"] = {**plain["dataset"], **changes}
    return Config.model_validate(plain)


def test_a_changed_mapping_does_not_count_events_twice(spark: SparkSession, tmp_path: Path) -> None:
    """Events without ids of their own: the same file again, under a mapping that gives its rows other ids."""
    plain = {name: column for name, column in EVENT_COLUMNS.items() if name not in ("event_id", "price")}
    write(tmp_path / "raw", "events/1.json", lines([event()]))
    before = config(tmp_path / "raw", tmp_path / "w")
    before = changed(before, sources=[source(path="events", columns=plain)])
    after = changed(before, sources=[source(path="events", columns={**plain, "price": "price"})])
    execute(clean.run, spark, before, AS_OF)
    with pytest.raises(ConfigError, match="source actions of shop was cleaned under another mapping.*no event_id"):
        execute(clean.run, spark, after, AS_OF)
    assert Warehouse(spark, before.warehouse).read(data.EVENTS).count() == 1
    plain_config = after.model_dump(mode="json")
    plain_config["clean"]["accept_changed_mapping"] = True
    execute(clean.run, spark, Config.model_validate(plain_config), AS_OF)


def test_datasets_of_a_warehouse_do_not_share_ids(spark: SparkSession, tmp_path: Path) -> None:
    cfg = config(tmp_path / "raw", tmp_path / "w")
    write(tmp_path / "raw", "events/1.json", lines([event()]))
    write(tmp_path / "raw", "goods.csv", "sku,title\ni1,One\n")
    execute(clean.run, spark, cfg, AS_OF)
    with pytest.raises(DataError, match="1 values of item_id in dataset branch already belong to another dataset"):
        execute(clean.run, spark, changed(cfg, name="branch"), AS_OF)
    assert {row["source"] for row in Warehouse(spark, cfg.warehouse).read(data.ITEMS).collect()} == {"shop"}


def test_a_label_resolved_later_is_filled_in(spark: SparkSession, tmp_path: Path) -> None:
    shown = {
        "name": "shown",
        "table": "impressions",
        "path": "shown",
        "format": "json",
        "columns": {
            **dict.fromkeys(("list_id", "item_id", "user_id", "position", "label")),
            "shown_at": "at",
        },
    }
    shown["columns"] = {name: column or name for name, column in shown["columns"].items()}  # type: ignore[attr-defined]
    row = {"list_id": "l", "user_id": "u", "at": "2024-05-01T10:00:00Z"}
    cfg = changed(config(tmp_path / "raw", tmp_path / "w"), sources=[shown])
    first = [{**row, "item_id": f"i{n}", "position": n, "label": label} for n, label in ((1, None), (2, None), (3, 0))]
    write(tmp_path / "raw", "shown/1.json", lines(first))
    execute(clean.run, spark, cfg, AS_OF)
    later = [{**row, "item_id": f"i{n}", "position": n, "label": label} for n, label in ((1, 1), (2, None), (3, 1))]
    write(tmp_path / "raw", "shown/2.json", lines(later))
    (tmp_path / "raw/shown/1.json").unlink()
    execute(clean.run, spark, cfg, AS_OF)
    labels = {r["item_id"]: r["label"] for r in Warehouse(spark, cfg.warehouse).read(data.IMPRESSIONS).collect()}
    assert labels == {"i1": 1.0, "i2": None, "i3": 0.0}


def test_cleaning_is_up_to_date_until_a_file_arrives(spark: SparkSession, tmp_path: Path) -> None:
    cfg = config(tmp_path / "raw", tmp_path / "w")
    write(tmp_path / "raw", "events/1.json", lines([event()]))
    execute(clean.run, spark, cfg, AS_OF)

    def up_to_date(at: datetime = AS_OF) -> bool:
        return is_done(spark, clean.run, cfg, at)

    assert up_to_date() and up_to_date(AS_OF + timedelta(days=1))
    file = write(tmp_path / "raw", "events/2.json", lines([event(id="e2")]))
    assert not up_to_date()
    execute(clean.run, spark, cfg, AS_OF)
    assert up_to_date()
    os.utime(file, (0, 0))
    assert not up_to_date(), "delivered again, under the same name and of the same size"


def ledger(cfg: Config, spark: SparkSession) -> dict[str, tuple[int, int]]:
    """Return rows and refused rows of each unit that has been taken in."""
    rows = Warehouse(spark, cfg.warehouse).read(data.INGESTED).collect()
    return {row["unit"]: (row["rows"], row["refused"]) for row in rows}


def test_a_file_is_read_once(spark: SparkSession, tmp_path: Path) -> None:
    """A folder that grows: the second batch reads the new file alone, and a re-sent row adds nothing."""
    root, warehouse = tmp_path / "raw", tmp_path / "w"
    cfg = config(root, warehouse, clean={"quarantine_limit": 0.6, "session_gap_minutes": 30})
    write(root, "events/day=1/1.json", lines([event(), event(id="bad", price="n/a")]))
    execute(clean.run, spark, cfg, AS_OF)
    write(root, "events/day=2/2 [é].json", lines([event(), event(id="e2", time="2024-05-02T10:00:00Z")]))
    execute(clean.run, spark, cfg, AS_OF)
    tables = Warehouse(spark, cfg.warehouse)
    batches = {row["event_id"]: row["batch_id"] for row in tables.read(data.EVENTS).collect()}
    assert sorted(batches) == ["e1", "e2"] and batches["e1"] != batches["e2"]
    assert [row["copies"] for row in tables.read(data.QUARANTINE).collect()] == [1], "the bad row was read once"
    assert ledger(cfg, spark) == {"events/day=1/1.json": (2, 1), "events/day=2/2 [é].json": (2, 0)}
    version = tables.version(data.EVENTS)
    execute(clean.run, spark, cfg, AS_OF)
    assert tables.version(data.EVENTS) == version, "nothing is new, so nothing is written"


def test_a_verdict_that_late_rows_take_back_leaves_no_trace(spark: SparkSession, tmp_path: Path) -> None:
    """Gaps of ten minutes are a robot's until an event between them comes; a test account stays one."""
    root, at = tmp_path / "raw", datetime(2024, 5, 1, 10, tzinfo=UTC)
    shown = {
        "name": "lists",
        "table": "impressions",
        "path": "lists",
        "format": "json",
        "columns": {"list_id": "id", "user_id": "user", "shown_at": "time", "item_id": "item", "position": "step"},
        "optional": True,
    }
    cfg = config(root, tmp_path / "w", clean={"robots": {"regular_gaps": 6}, "test_users": ["qa-*"]})
    cfg = cfg.model_copy(update={"dataset": dataset(source(path="events"), shown)})
    warehouse = Warehouse(spark, cfg.warehouse)
    steps = [(f"e{k}", at + timedelta(minutes=10 * k)) for k in range(7)] + [("next", at + timedelta(days=1))]
    rows = [event(id=name, time=time.isoformat(), session=None, step=None) for name, time in steps]
    write(root, "events/1.json", lines([*rows, event(id="qa", user="qa-1")]))
    lists = [event(id=user, user=user, time=steps[-1][1].isoformat()) for user in ("u1", "qa-2")]
    write(root, "lists/1.json", lines(lists))
    for late, robots, bots, shown_to in (
        (None, {"u1": ["regular_gaps"], "qa-1": ["test_user"]}, {"next", "qa"}, {"u1", "qa-2"}),
        (5, {"qa-1": ["test_user"]}, {"qa"}, {"qa-2"}),
    ):
        if late is not None:
            between = (at + timedelta(minutes=late)).isoformat()
            write(root, "events/2.json", lines([event(id="late", time=between, session=None, step=None)]))
        execute(clean.run, spark, cfg, AS_OF)
        assert {row["user_id"]: row["rules_hit"] for row in warehouse.read(data.ROBOTS).collect()} == robots
        assert {row["event_id"] for row in warehouse.read(data.EVENTS).where("is_bot").collect()} == bots
        assert {row["list_id"] for row in warehouse.read(data.IMPRESSIONS).where("is_bot").collect()} == shown_to
