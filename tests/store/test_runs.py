"""The `runs` table: a row per run, one holder per slice, dead holders recovered and fenced off."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, load_config
from recsys.data import slice_of
from recsys.errors import DataError, NothingToDo, SliceHeldError
from recsys.pipeline import Context, Job, execute, graph
from recsys.pipeline.commit import Run
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Clear, PinnedWarehouse, Replace, Warehouse, Writes
from recsys.store.holds import Hold
from recsys.store.runs import Result
from tests.store.jobs import AS_OF, nothing, popular, writer

pytestmark = pytest.mark.spark


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(overrides=[f"warehouse.path={tmp_path}/w"])


@pytest.fixture(scope="module")
def done_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which the writer has run once, for tests to copy."""
    root = tmp_path_factory.mktemp("done") / "w"
    execute(writer(), spark, load_config(overrides=[f"warehouse.path={root}"]), AS_OF)
    return root


@pytest.fixture
def done(config: Config, done_once: Path) -> Config:
    """The config of such a copy."""
    shutil.copytree(done_once, config.warehouse.path)
    return config


def _runs(spark: SparkSession, config: Config) -> DataFrame:
    return Warehouse(spark, config.warehouse).read(data.RUNS)


def _items(spark: SparkSession, config: Config) -> list[str]:
    return [row["item_id"] for row in Warehouse(spark, config.warehouse).read(POPULAR_ITEMS).collect()]


def _pretend_running(spark: SparkSession, config: Config, **values: object) -> None:
    """Make the only row of `runs` look like a run in progress with other circumstances."""
    delta = Warehouse(spark, config.warehouse).delta(data.RUNS)
    delta.update(set={"status": F.lit("running"), **{name: F.lit(value) for name, value in values.items()}})


def test_a_run_leaves_its_steps_rows_and_versions(spark: SparkSession, done: Config) -> None:
    row = _runs(spark, done).first()
    assert row is not None
    assert (row["job"], row["status"], row["slice"]) == ("popular", "done", "popular@20240301T000000Z")
    steps = [(step["name"], step["rows"]) for step in row["steps"]]
    assert steps == [("count", 7), ("check popular_items", 1), ("write popular_items", 1)]
    assert row["rows"] == {"popular_items": 1}
    assert row["slices"] == ["popular_items/as_of=20240301T000000Z"]
    assert set(row["writes"]) == {"popular_items"}
    assert row["error"] is None


def test_a_commit_names_its_run_in_the_history_of_the_table(spark: SparkSession, done: Config) -> None:
    run, newest = _runs(spark, done).first(), Warehouse(spark, done.warehouse).delta(POPULAR_ITEMS).history(1).first()
    assert run is not None and newest is not None
    assert f'"run_id": "{run["run_id"]}", "job": "popular", "as_of": "20240301T000000Z"' in newest["userMetadata"]


def test_a_failed_run_keeps_its_sentence(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> Writes:
        raise DataError("nothing in there")

    with pytest.raises(DataError):
        execute(Job("popular", run), spark, config, AS_OF)
    row = _runs(spark, config).first()
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", "nothing in there")


def test_nothing_is_written_if_one_of_several_tables_breaks_its_contract(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> Writes:
        good, bad = popular(context.spark, "a"), popular(context.spark, "b").withColumn("rank", F.lit(0))
        return Writes([Replace(POPULAR_ITEMS, good, slice_of(AS_OF)), Replace(POPULAR_ITEMS, bad, slice_of(AS_OF))])

    with pytest.raises(DataError, match="rank_from_one.*nothing was written"):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,)), spark, config, AS_OF)
    assert _items(spark, config) == []


def test_a_run_with_nothing_to_do_commits_what_it_clears_and_says_so(spark: SparkSession, done: Config) -> None:
    def run(context: Context) -> Writes:
        return Writes([Clear(POPULAR_ITEMS, slice_of(AS_OF))], nothing="no events")

    with pytest.raises(NothingToDo, match="no events"):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,)), spark, done, AS_OF)
    assert _items(spark, done) == []
    assert {(r["status"], r["error"]) for r in _runs(spark, done).collect()} == {
        ("done", None),
        ("skipped", "no events"),
    }


def test_a_slice_is_held_by_one_run_at_a_time_whatever_the_job(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> Writes:
        execute(writer("another job"), context.spark, config, context.as_of)
        return Writes()

    with pytest.raises(SliceHeldError, match="another job for 2024-03-01T00:00:00Z writes what run .* holds"):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,)), spark, config, AS_OF)
    assert not Warehouse(spark, config.warehouse).exists(POPULAR_ITEMS)


@pytest.mark.parametrize(("table", "later"), [(data.ITEM_INDEX, timedelta(days=9)), (data.RANKED, timedelta(hours=9))])
def test_a_hold_covers_what_other_instants_write_too(
    spark: SparkSession, config: Config, table: data.Table, later: timedelta
) -> None:
    """The index is one slice, and two instants of a day share the slice of their run date."""
    job = Job("job", nothing, writes=(table,))

    def run(context: Context) -> Writes:
        execute(job, context.spark, config, AS_OF + later)
        return Writes()

    with pytest.raises(SliceHeldError):
        execute(Job("job", run, writes=(table,)), spark, config, AS_OF)


def test_other_slices_are_free(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> Writes:
        execute(writer(), context.spark, config, context.as_of + timedelta(days=1))
        return Writes()

    execute(Job("popular", run, writes=(POPULAR_ITEMS,)), spark, config, AS_OF)
    assert _runs(spark, config).where("status = 'done'").count() == 2


def test_a_holder_whose_process_is_gone_is_recovered(spark: SparkSession, done: Config) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = psutil.Process(child.pid).create_time()
    child.wait()
    _pretend_running(spark, done, process=f"{child.pid}@{born:.2f}")
    execute(writer(), spark, done, AS_OF)
    assert {r["status"] for r in _runs(spark, done).collect()} == {"lost", "done"}


def test_a_living_holder_on_another_host_is_respected_until_its_lease_ends(spark: SparkSession, done: Config) -> None:
    _pretend_running(spark, done, host=f"not-{socket.gethostname()}", heartbeat_at=datetime.now(UTC))
    with pytest.raises(SliceHeldError):
        execute(writer(), spark, done, AS_OF)
    _pretend_running(spark, done, heartbeat_at=datetime.now(UTC) - timedelta(hours=2))
    execute(writer(), spark, done, AS_OF)
    assert {r["status"] for r in _runs(spark, done).collect()} == {"lost", "done"}


def _take_as_dead(spark: SparkSession, config: Config) -> None:
    """Make the running run look like one whose host has gone silent."""
    silent = {"host": F.lit("elsewhere"), "heartbeat_at": F.lit(datetime(2024, 1, 1, tzinfo=UTC))}
    Warehouse(spark, config.warehouse).delta(data.RUNS).update("status = 'running'", silent)  # type: ignore[arg-type]


def test_a_stalled_run_can_not_commit_after_its_successor(spark: SparkSession, done: Config) -> None:
    """It wakes up when the other one is done: what it made is not written, and it says why."""

    def run(context: Context) -> Writes:
        _take_as_dead(spark, done)
        execute(writer(item="b"), context.spark, done, AS_OF)
        return Writes([Replace(POPULAR_ITEMS, popular(context.spark, "c"), slice_of(AS_OF))])

    with pytest.raises(SliceHeldError, match="a later run has taken this slice"):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,)), spark, done, AS_OF)
    assert _items(spark, done) == ["b"]
    assert sorted(r["status"] for r in _runs(spark, done).collect()) == ["done", "done", "lost"]


def test_a_stalled_run_can_not_commit_while_its_successor_works_on_what_it_read(
    spark: SparkSession, done: Config
) -> None:
    stalled = _run_in_progress(spark, done)
    _take_as_dead(spark, done)

    def successor(context: Context) -> Writes:
        (read,) = context.warehouse.read(POPULAR_ITEMS).collect()
        with pytest.raises(SliceHeldError):
            stalled.commit(Writes([Replace(POPULAR_ITEMS, popular(spark, "late"), slice_of(AS_OF))]))
        return Writes([Replace(POPULAR_ITEMS, popular(spark, f"{read['item_id']}, twice"), slice_of(AS_OF))])

    execute(Job("popular", successor, writes=(POPULAR_ITEMS,)), spark, done, AS_OF)
    assert _items(spark, done) == ["a, twice"]


def _run_in_progress(spark: SparkSession, config: Config) -> Run:
    """A run that has taken its slice."""
    warehouse = PinnedWarehouse(spark, config.warehouse)
    hold = Hold(warehouse, _hold_values(), lease_minutes=30)
    hold.take()
    writes = (POPULAR_ITEMS,)
    return Run("popular", writes, as_of=AS_OF, source=None, warehouse=warehouse, hold=hold, result=Result())


def _hold_values() -> dict[str, object]:
    values = {"run_id": "stalled", "job": "popular", "slice": "popular@20240301T000000Z", "as_of": AS_OF}
    values |= {
        "slices": ["popular_items/as_of=20240301T000000Z"],
        "config_hash": "",
        "code_version": "",
        "config": "{}",
    }
    return values


class _Unreachable(Warehouse):
    """A warehouse whose tables can't be written for a while."""

    tried = 0
    again = threading.Event()

    def delta(self, table: data.Table) -> DeltaTable:
        """Count the attempts."""
        self.tried += 1
        if self.tried == 2:
            self.again.set()
        raise OSError("the store does not answer")


def test_a_failed_sign_of_life_is_tried_again(spark: SparkSession, config: Config) -> None:
    hold = Hold(_Unreachable(spark, config.warehouse), _hold_values(), lease_minutes=0.001)
    with hold.kept_alive():
        assert _Unreachable.again.wait(timeout=60)


def test_the_first_error_wins_over_one_of_its_own_record(
    spark: SparkSession, config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    """A full disk stops the job, and then the record of how it ended."""

    def run(context: Context) -> Writes:
        shutil.rmtree(Path(config.warehouse.path) / "runs")
        raise DataError("a disk is full")

    with pytest.raises(DataError, match="a disk is full"):
        execute(Job("popular", run), spark, config, AS_OF)
    assert "how the run ended could not be written into runs" in capfd.readouterr().err


def test_no_user_id_and_no_secret_reach_the_row(spark: SparkSession, tmp_path: Path) -> None:
    config = load_config(overrides=[f"warehouse.path={tmp_path}/w", "spark.conf={fs.key.secret: hunter2}"])
    execute(writer(), spark, config, AS_OF)
    row = _runs(spark, config).first()
    assert row is not None
    assert "hunter2" not in row["config"]


def test_the_pipeline_goes_on_if_a_job_has_nothing_to_do(spark: SparkSession, config: Config) -> None:
    """Too few examples for a ranker must not keep lists from being published."""

    def run(context: Context) -> Writes:
        raise NothingToDo("7 examples are too few")

    jobs = {
        "train_ctr": Job("train_ctr", run, writes=(data.MODELS,)),
        "rank": Job("rank", nothing, reads=(data.MODELS,)),
    }
    outcomes = graph.run_pipeline(spark, config, AS_OF, jobs)
    assert [(label.split("@")[0], result) for label, result, _ in outcomes] == [
        ("train_ctr", "7 examples are too few"),
        ("rank", "done"),
    ]
