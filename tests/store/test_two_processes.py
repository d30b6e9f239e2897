"""Two processes that write one warehouse at the same time: nothing is lost, and nothing is numbered twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, load_config
from recsys.errors import SliceHeldError
from recsys.pipeline import execute
from recsys.pipeline.job import load_jobs
from recsys.store import Warehouse
from tests.ingest.support import event, lines, source, write
from tests.support.rival import Rival, rival
from tests.support.shops import ROOT

pytestmark = [pytest.mark.e2e]

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)
EARLIER, LATER = AS_OF - timedelta(days=20), AS_OF + timedelta(days=1)
JOBS = load_jobs(ROOT / "jobs")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rival]:
    with rival(tmp_path_factory.mktemp("rival") / "log") as process:
        yield process


def _delivery(folder: Path, name: str, *users: str) -> list[str]:
    """Write a mapping and a delivery of events and items; return the overrides that go with them."""
    rows = [event(id=f"{name}-{user}", user=user, item=f"{name}-{user}") for user in users]
    write(folder / name, "events.json", lines(rows))
    write(
        folder / name,
        "items.json",
        lines([{"item": row["item"], "title": user} for row, user in zip(rows, users, strict=True)]),
    )
    items = source(name="catalog", table="items", path="items.json", columns={"item_id": "item", "title": "title"})
    mapping = {"name": name, "sources": [source(), items]}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    return [f"input.root={folder / name}", f"warehouse.path={folder / 'warehouse'}"]


def _config(folder: Path, name: str, overrides: list[str]) -> Config:
    return load_config(dataset=folder / f"{name}.yaml", overrides=overrides)


def _start(process: Rival, folder: Path, name: str, job: str, overrides: list[str]) -> None:
    process.tell(job=job, as_of="2024-06-01", dataset=str(folder / f"{name}.yaml"), overrides=overrides)
    assert process.hear() == "made"


def test_the_first_write_of_a_table_by_two_runs_keeps_the_rows_of_both(
    spark: SparkSession, other: Rival, tmp_path: Path
) -> None:
    one, two = _delivery(tmp_path, "one", "a", "b"), _delivery(tmp_path, "two", "c")
    _start(other, tmp_path, "one", "clean", one)
    config = _config(tmp_path, "two", two)
    execute(JOBS["clean"], spark, config, AS_OF)
    other.tell()
    assert other.hear() == "done"
    warehouse = Warehouse(spark, config.warehouse)
    for table in (data.EVENTS, data.ITEMS):
        rows = warehouse.read(table).groupBy("source").count().collect()
        assert {row["source"]: row["count"] for row in rows} == {"one": 2, "two": 1}


def test_an_update_of_items_is_not_lost_to_a_run_that_read_them_before(
    spark: SparkSession, other: Rival, tmp_path: Path
) -> None:
    """Two runs for different instants write the same slice of `items`: one at a time."""
    overrides = _delivery(tmp_path, "one", "a")
    _start(other, tmp_path, "one", "clean", overrides)
    config = _config(tmp_path, "one", overrides)
    more = [{"item": "one-a", "title": "a"}, {"item": "late", "title": "late"}]
    write(tmp_path / "one", "items.json", lines(more))
    with pytest.raises(SliceHeldError, match="wait for it"):
        execute(JOBS["clean"], spark, config, LATER)
    other.tell()
    assert other.hear() == "done"
    execute(JOBS["clean"], spark, config, LATER)
    items = Warehouse(spark, config.warehouse).read(data.ITEMS, where={"is_current": True})
    assert sorted(row["item_id"] for row in items.collect()) == ["late", "one-a"]


def _numbers(spark: SparkSession, config: Config) -> list[int]:
    rows = Warehouse(spark, config.warehouse).read(data.USER_INDEX).collect()
    return sorted(row["idx"] for row in rows)


@pytest.fixture
def indexed(spark: SparkSession, tmp_path: Path) -> tuple[Config, list[str]]:
    """A warehouse with events of three users, and of a fourth one who came later; the overrides that name it."""
    overrides = _delivery(tmp_path, "one", "a", "b", "c")
    config = _config(tmp_path, "one", overrides)
    late = event(id="late", user="late", item="one-a", time="2024-05-20T00:00:00Z")
    events = tmp_path / "one" / "events.json"
    events.write_text(events.read_text() + lines([late]))
    execute(JOBS["clean"], spark, config, AS_OF)
    return config, overrides


def test_two_index_runs_number_one_after_the_other(
    spark: SparkSession, other: Rival, tmp_path: Path, indexed: tuple[Config, list[str]]
) -> None:
    """One for an earlier instant, which knows fewer users."""
    config, overrides = indexed
    _start(other, tmp_path, "one", "index", overrides)
    with pytest.raises(SliceHeldError):
        execute(JOBS["index"], spark, config, EARLIER)
    other.tell()
    assert other.hear() == "done"
    execute(JOBS["index"], spark, config, EARLIER)
    assert _numbers(spark, config) == [1, 2, 3, 4]


def test_a_stalled_run_that_wakes_up_is_shut_out(
    spark: SparkSession, other: Rival, tmp_path: Path, indexed: tuple[Config, list[str]]
) -> None:
    """Its host is silent for longer than the lease; in the meantime another run numbers fewer users."""
    config, overrides = indexed
    _start(other, tmp_path, "one", "index", overrides)
    silent = {"host": F.lit("elsewhere"), "heartbeat_at": F.lit(datetime(2024, 1, 1, tzinfo=UTC))}
    Warehouse(spark, config.warehouse).delta(data.RUNS).update("status = 'running'", silent)  # type: ignore[arg-type]
    execute(JOBS["index"], spark, config, EARLIER)
    other.tell()
    assert other.hear().startswith("SliceHeldError")
    assert _numbers(spark, config) == [1, 2, 3]
    execute(JOBS["index"], spark, config, AS_OF)
    assert _numbers(spark, config) == [1, 2, 3, 4]
