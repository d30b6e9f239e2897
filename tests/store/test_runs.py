"""The `runs` table: a row per run, one holder per slice, dead holders recovered, what is up to date."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, load_config
from recsys.errors import DataError, NothingToDo, SliceHeldError
from recsys.pipeline import Context, Job, execute, graph
from recsys.progress import step
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Warehouse
from recsys.store.contract import schema_of
from recsys.store.runs import RunLog

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(overrides=[f"warehouse.path={tmp_path}/w"])


@pytest.fixture(scope="module")
def done_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which the writer has run once, for tests to copy."""
    root = tmp_path_factory.mktemp("done") / "w"
    execute(_writer(), spark, load_config(overrides=[f"warehouse.path={root}"]), AS_OF)
    return root


@pytest.fixture
def done(config: Config, done_once: Path) -> Config:
    """The config of such a copy."""
    shutil.copytree(done_once, config.warehouse.path)
    return config


def _popular(spark: SparkSession, item: str) -> DataFrame:
    return spark.createDataFrame([(AS_OF, "popular", "", 1, item, 1.0)], schema_of(POPULAR_ITEMS))


def nothing(context: Context) -> None:
    """Does nothing."""


def _writer(name: str = "popular", item: str = "a") -> Job:
    def run(context: Context) -> None:
        with step("count") as this:
            this.rows = 7
        rows = _popular(context.spark, item)
        context.warehouse.replace(POPULAR_ITEMS, rows, where={"as_of": context.as_of})

    return Job(name, run, writes=(POPULAR_ITEMS,), config=("publish",))


def _reader(name: str = "candidates") -> Job:
    def run(context: Context) -> None:
        context.warehouse.read(POPULAR_ITEMS)

    return Job(name, run, reads=(POPULAR_ITEMS,), config=("rank",))


def _up_to_date(spark: SparkSession, job: Job, config: Config, as_of: datetime = AS_OF) -> bool:
    return RunLog(Warehouse(spark, config.warehouse)).up_to_date(job.state(spark, config), as_of)


def _other(config: Config, override: str) -> Config:
    return load_config(overrides=[f"warehouse.path={config.warehouse.path}", override])


def _runs(spark: SparkSession, config: Config) -> DataFrame:
    return Warehouse(spark, config.warehouse).read(data.RUNS)


def _pretend_running(spark: SparkSession, config: Config, **values: object) -> None:
    """Make the only row of `runs` look like a run in progress with other circumstances."""
    delta = Warehouse(spark, config.warehouse).delta(data.RUNS)
    delta.update(set={"status": F.lit("running"), **{name: F.lit(value) for name, value in values.items()}})


def test_a_run_leaves_its_steps_rows_and_versions(spark: SparkSession, done: Config) -> None:
    row = _runs(spark, done).first()
    assert row is not None
    assert (row["job"], row["status"], row["slice"]) == ("popular", "done", "popular@20240301T000000Z")
    assert [(s["name"], s["rows"]) for s in row["steps"]] == [("count", 7), ("write popular_items", 1)]
    assert row["rows"] == {"popular_items": 1}
    assert set(row["writes"]) == {"popular_items"}
    assert row["error"] is None


def test_a_failed_run_keeps_its_sentence(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> None:
        raise DataError("nothing in there")

    with pytest.raises(DataError):
        execute(Job("popular", run), spark, config, AS_OF)
    row = _runs(spark, config).first()
    assert row is not None
    assert (row["status"], row["error"]) == ("failed", "nothing in there")


def test_a_slice_is_held_by_one_run_at_a_time(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> None:
        execute(_writer(), context.spark, config, context.as_of)

    with pytest.raises(SliceHeldError, match="popular for 2024-03-01T00:00:00Z is held by run"):
        execute(Job("popular", run), spark, config, AS_OF)
    assert not Warehouse(spark, config.warehouse).exists(POPULAR_ITEMS)


def test_other_slices_are_free(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> None:
        execute(_writer(), context.spark, config, context.as_of)

    execute(Job("other", run), spark, config, AS_OF)
    assert _runs(spark, config).where("status = 'done'").count() == 2


def test_a_holder_whose_process_is_gone_is_recovered(spark: SparkSession, done: Config) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = psutil.Process(child.pid).create_time()
    child.wait()
    _pretend_running(spark, done, process=f"{child.pid}@{born:.2f}")
    execute(_writer(), spark, done, AS_OF)
    assert {r["status"] for r in _runs(spark, done).collect()} == {"lost", "done"}


def test_a_living_holder_on_another_host_is_respected_until_its_lease_ends(spark: SparkSession, done: Config) -> None:
    _pretend_running(spark, done, host=f"not-{socket.gethostname()}", heartbeat_at=datetime.now(UTC))
    with pytest.raises(SliceHeldError):
        execute(_writer(), spark, done, AS_OF)
    _pretend_running(spark, done, heartbeat_at=datetime.now(UTC) - timedelta(hours=2))
    execute(_writer(), spark, done, AS_OF)
    assert {r["status"] for r in _runs(spark, done).collect()} == {"lost", "done"}


def test_up_to_date_until_config_or_input_changes(spark: SparkSession, config: Config) -> None:
    assert not _up_to_date(spark, _reader(), config)
    execute(_writer(), spark, config, AS_OF)
    execute(_reader(), spark, config, AS_OF)
    assert _up_to_date(spark, _reader(), config)
    assert not _up_to_date(spark, _reader(), config, AS_OF + timedelta(days=1)), "another instant"
    assert not _up_to_date(spark, _reader(), _other(config, "rank.k=3")), "another value of a key that it reads"
    assert _up_to_date(spark, _reader(), _other(config, "publish.optimize=false")), "a key that it does not read"
    execute(_writer(item="b"), spark, config, AS_OF)
    assert not _up_to_date(spark, _reader(), config), "its input was written since"


def test_a_slice_that_another_config_took_since_is_made_again(spark: SparkSession, done: Config) -> None:
    other = _other(done, "publish.optimize=false")
    execute(_writer(item="b"), spark, other, AS_OF)
    assert _up_to_date(spark, _writer(), other)
    assert not _up_to_date(spark, _writer(), done)
    execute(_writer(), spark, done, AS_OF)
    assert _up_to_date(spark, _writer(), done)


def test_a_slice_is_made_again_after_a_run_that_did_not_end(spark: SparkSession, done: Config) -> None:
    def run(context: Context) -> None:
        _writer(item="b").function(context)
        raise DataError("half-way")

    with pytest.raises(DataError):
        execute(Job("popular", run), spark, done, AS_OF)
    assert not _up_to_date(spark, _writer(), done)


def test_a_job_with_outside_inputs_is_done_once_for_each_input(spark: SparkSession, config: Config) -> None:
    def job(batch: str) -> Job:
        return Job("clean", nothing, inputs=lambda spark, config: batch)

    execute(job("one"), spark, config, AS_OF)
    assert _up_to_date(spark, job("one"), config, AS_OF + timedelta(days=1))
    assert not _up_to_date(spark, job("two"), config)


def test_a_table_that_is_gone_is_made_again(spark: SparkSession, done: Config) -> None:
    assert _up_to_date(spark, _writer(), done)
    shutil.rmtree(Path(done.warehouse.path) / "popular_items")
    assert not _up_to_date(spark, _writer(), done)


def test_no_user_id_and_no_secret_reach_the_row(spark: SparkSession, tmp_path: Path) -> None:
    config = load_config(overrides=[f"warehouse.path={tmp_path}/w", "spark.conf={fs.key.secret: hunter2}"])
    execute(_writer(), spark, config, AS_OF)
    row = _runs(spark, config).first()
    assert row is not None
    assert "hunter2" not in row["config"]


def test_the_pipeline_goes_on_if_a_job_has_nothing_to_do(spark: SparkSession, config: Config) -> None:
    """Too few examples for a ranker must not keep lists from being published."""

    def run(context: Context) -> None:
        raise NothingToDo("7 examples are too few")

    jobs = {
        "train_ctr": Job("train_ctr", run, writes=(data.MODELS,)),
        "rank": Job("rank", nothing, reads=(data.MODELS,)),
    }
    outcomes = graph.run_pipeline(spark, config, AS_OF, jobs)
    assert [(label.split("@")[0], outcome) for label, outcome, _ in outcomes] == [
        ("train_ctr", "7 examples are too few"),
        ("rank", "done"),
    ]
