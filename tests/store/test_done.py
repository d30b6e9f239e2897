"""What need not run again: as long as what it read and what it made is still as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.config import Config, load_config
from recsys.data import slice_of
from recsys.errors import DataError
from recsys.pipeline import Context, Job, execute, graph
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Clear, Merge, Replace, Warehouse, Writes
from recsys.store.done import Done
from recsys.store.text import write_text
from tests.features import logs
from tests.store.jobs import AS_OF, daily_lists, is_done, nothing, other, popular, reader, writer
from tests.support.shops import ROOT

pytestmark = pytest.mark.spark

NOON = AS_OF + timedelta(hours=12)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(overrides=[f"warehouse.path={tmp_path}/w"])


@pytest.fixture(scope="module")
def done_once(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse in which the writer and then the reader have run once, for tests to copy."""
    root = tmp_path_factory.mktemp("done") / "w"
    for job in (writer(), reader()):
        execute(job, spark, load_config(overrides=[f"warehouse.path={root}"]), AS_OF)
    return root


@pytest.fixture
def done(config: Config, done_once: Path) -> Config:
    """The config of such a copy."""
    shutil.copytree(done_once, config.warehouse.path)
    return config


def test_a_job_is_done_for_its_instant_and_the_keys_that_it_reads(spark: SparkSession, done: Config) -> None:
    assert is_done(spark, reader(), done)
    assert not is_done(spark, reader(), done, AS_OF + timedelta(days=1)), "another instant"
    assert not is_done(spark, reader(), other(done, "rank.k=3")), "another value of a key that it reads"
    assert is_done(spark, reader(), other(done, "publish.optimize=false")), "a key that it does not read"


def test_a_job_runs_again_once_its_input_is_at_a_later_version(spark: SparkSession, done: Config) -> None:
    execute(writer(item="b"), spark, done, AS_OF)
    assert not is_done(spark, reader(), done)


def test_a_commit_of_a_run_that_never_ended_counts(spark: SparkSession, done: Config) -> None:
    """It died after its commit; the run that completes it finds nothing new to write."""

    def run(context: Context) -> Writes:
        def die() -> None:
            raise DataError("killed")

        row = popular(context.spark, "b")
        return Writes([Replace(POPULAR_ITEMS, row, slice_of(AS_OF))], afterwards=die)

    with pytest.raises(DataError, match="killed"):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,), config=("publish",)), spark, done, AS_OF)
    assert not is_done(spark, reader(), done)
    assert not is_done(spark, writer(), done)


def _by_hand(spark: SparkSession, config: Config) -> None:
    Warehouse(spark, config.warehouse).delta(POPULAR_ITEMS).update(set={"item_id": "'c'"})


def _another_instant(spark: SparkSession, config: Config) -> None:
    execute(writer(), spark, config, AS_OF + timedelta(days=1))


def _compacted(spark: SparkSession, config: Config) -> None:
    Warehouse(spark, config.warehouse).optimize(POPULAR_ITEMS)


def _by_no_feeder(spark: SparkSession, config: Config) -> None:
    execute(writer(name="stranger"), spark, config, AS_OF)


@pytest.mark.parametrize(
    ("change", "still_done"),
    [(_by_hand, False), (_another_instant, True), (_compacted, True), (_by_no_feeder, True)],
)
def test_which_commits_of_an_input_matter(
    spark: SparkSession, done: Config, change: Callable[[SparkSession, Config], None], still_done: bool
) -> None:
    change(spark, done)
    jobs = {"popular": writer(), "candidates": reader()}
    (outcome,) = graph.run_pipeline(spark, done, AS_OF, jobs, first="candidates")
    assert (outcome.result == "skipped") is still_done


def test_a_slice_that_another_config_took_since_is_made_again(spark: SparkSession, done: Config) -> None:
    changed = other(done, "publish.optimize=false")
    execute(writer(item="b"), spark, changed, AS_OF)
    assert is_done(spark, writer(), changed)
    assert not is_done(spark, writer(), done)
    execute(writer(), spark, done, AS_OF)
    assert is_done(spark, writer(), done)


def test_a_run_that_failed_before_it_wrote_leaves_the_slice_done(spark: SparkSession, done: Config) -> None:
    def run(context: Context) -> Writes:
        raise DataError("half-way")

    with pytest.raises(DataError):
        execute(Job("popular", run, writes=(POPULAR_ITEMS,), config=("publish",)), spark, done, AS_OF)
    assert is_done(spark, writer(), done)


def test_two_instants_of_a_day_share_a_slice_and_the_second_one_takes_it(spark: SparkSession, config: Config) -> None:
    execute(daily_lists(), spark, config, AS_OF)
    execute(daily_lists(), spark, config, NOON)
    assert is_done(spark, daily_lists(), config, NOON)
    assert not is_done(spark, daily_lists(), config, AS_OF)


@pytest.mark.parametrize(("hours", "still_done"), [(0, True), (30, True), (-1, False)])
def test_what_comes_in_later_undoes_a_past_instant_only_if_it_is_of_before_it(
    spark: SparkSession, config: Config, hours: int, still_done: bool
) -> None:
    def take_in(*times: datetime) -> Job:
        def run(context: Context) -> Writes:
            rows = [logs.event(event_id=f"{time}", user_id="u", item_id="i", event_time=time) for time in times]
            return Writes([Merge(data.EVENTS, logs.frame(context.spark, data.EVENTS, rows))])

        return Job("clean", run, writes=(data.EVENTS,), every_instant=True)

    def fit(context: Context) -> Writes:
        context.warehouse.read(data.EVENTS, before=context.as_of)
        return Writes([Replace(POPULAR_ITEMS, popular(context.spark, "a"), slice_of(AS_OF))])

    fitted = Job("popular", fit, reads=(data.EVENTS,), writes=(POPULAR_ITEMS,))
    execute(take_in(AS_OF - timedelta(days=1)), spark, config, AS_OF)
    execute(fitted, spark, config, AS_OF)
    execute(take_in(AS_OF + timedelta(hours=hours)), spark, config, AS_OF)
    found = Done(Warehouse(spark, config.warehouse), [AS_OF])
    state = fitted.state(spark, config)
    assert not found.is_done(state, AS_OF, every_instant=["clean"])
    assert found.is_done(state, AS_OF, every_instant=["clean"], settled=True) is still_done


def test_a_job_with_outside_inputs_is_done_once_for_each_input(spark: SparkSession, config: Config) -> None:
    def job(batch: str) -> Job:
        return Job("clean", nothing, inputs=lambda spark, config: batch, writes=(data.EVENTS,))

    shop = load_config(
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml", overrides=[f"warehouse.path={config.warehouse.path}"]
    )
    execute(job("one"), spark, shop, AS_OF)
    assert is_done(spark, job("one"), shop, AS_OF + timedelta(days=1))
    assert not is_done(spark, job("two"), shop)


def test_a_table_that_is_gone_is_made_again(spark: SparkSession, done: Config) -> None:
    shutil.rmtree(Path(done.warehouse.path) / "popular_items")
    assert not is_done(spark, writer(), done)


def test_rows_that_were_taken_away_by_hand_are_made_again(spark: SparkSession, done: Config) -> None:
    Warehouse(spark, done.warehouse).clear(POPULAR_ITEMS, where=slice_of(AS_OF))
    assert not is_done(spark, writer(), done)


def test_a_file_that_is_gone_is_made_again(spark: SparkSession, config: Config) -> None:
    def run(context: Context) -> Writes:
        path = context.warehouse.path("reports", "r.html")
        return Writes(files=["reports/r.html"], afterwards=lambda: write_text(context.spark, path, "report"))

    job = Job("evaluate", run)
    execute(job, spark, config, AS_OF)
    assert is_done(spark, job, config)
    (Path(config.warehouse.path) / "reports" / "r.html").unlink()
    assert not is_done(spark, job, config)


def test_clearing_a_slice_counts_as_a_change_only_where_there_were_rows(spark: SparkSession, done: Config) -> None:
    def clearing(context: Context) -> Writes:
        return Writes([Clear(POPULAR_ITEMS, slice_of(context.as_of + timedelta(days=9)))])

    execute(Job("popular", clearing, writes=(POPULAR_ITEMS,)), spark, done, AS_OF)
    assert is_done(spark, reader(), done)


def test_of_what_is_made_later_in_a_run_only_past_instants_matter(spark: SparkSession, done: Config) -> None:
    """The reader runs before the writer, and reads what the writer made for the day before."""
    past = AS_OF - timedelta(days=1)

    def still_done() -> bool:
        asked = Done(Warehouse(spark, done.warehouse), [past, AS_OF])
        state = reader().state(spark, done)
        return asked.is_done(state, AS_OF, feeders=(), earlier=[past], of_earlier=["popular"])

    execute(writer(item="b"), spark, done, AS_OF)
    assert still_done()
    execute(writer(item="b"), spark, done, past)
    assert not still_done()
