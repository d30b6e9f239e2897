"""Small files are put together, old ones deleted, slices of long ago removed; nothing that is done is undone by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.maintain import maintain, oldest_needed
from recsys import data
from recsys.config import Config, load_config
from recsys.data import slice_of, stamp
from recsys.errors import ConfigError, SliceHeldError
from recsys.pipeline import Context, Job, execute
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Merge, Replace, Warehouse, Writes
from recsys.store.done import Done
from recsys.store.expiry import Expired, expired, remove_expired
from recsys.store.upkeep import Upkeep
from tests.features import logs
from tests.store.jobs import AS_OF, daily_lists, is_done, popular, writer
from tests.support.warehouses import digests

pytestmark = pytest.mark.spark

DAY = timedelta(days=1)
AT_ONCE = ("maintain.retention_days=0", "maintain.short_retention=true")
MONTHS_AGO = AS_OF - 99 * DAY


def config_of(place: Path, *overrides: str) -> Config:
    return load_config(overrides=[f"warehouse.path={place}", *overrides])


def events(spark: SparkSession, time: datetime) -> DataFrame:
    """One event."""
    return logs.frame(spark, data.EVENTS, [logs.event(event_id=f"{time}", user_id="u", item_id="i", event_time=time)])


def clean(time: datetime) -> Job:
    """Takes in an event."""

    def run(context: Context) -> Writes:
        return Writes([Merge(data.EVENTS, events(context.spark, time))])

    return Job("clean", run, writes=(data.EVENTS,), every_instant=True)


def fitting() -> Job:
    """Reads the log before its instant."""

    def run(context: Context) -> Writes:
        context.warehouse.read(data.EVENTS, before=context.as_of)
        return Writes([Replace(POPULAR_ITEMS, popular(context.spark, "a", context.as_of), slice_of(context.as_of))])

    return Job("popular", run, reads=(data.EVENTS,), writes=(POPULAR_ITEMS,))


def care(spark: SparkSession, config: Config, *, dry_run: bool = False) -> Upkeep:
    """Care for the log alone, of a warehouse in which other tables have slices that are too old, or not."""
    warehouse = Warehouse(spark, config.warehouse)
    (done,) = maintain(warehouse, config, as_of=AS_OF + DAY, names=["events"], dry_run=dry_run)
    return done


def is_settled(spark: SparkSession, config: Config) -> bool:
    """Whether the fit is done, as an instant in the past of a pipeline."""
    asked = Done(Warehouse(spark, config.warehouse), [AS_OF])
    return asked.is_done(fitting().state(spark, config), AS_OF, every_instant=["clean"], settled=True)


@dataclass
class Cared:
    """A warehouse whose log was cared for three times, and what was seen on the way."""

    config: Config
    rows: tuple[int, int]
    planned: Upkeep
    weekly: Upkeep
    readable: list[int | None]
    at_once: Upkeep
    again: Upkeep


@pytest.fixture(scope="module")
def cared(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Cared:
    """Something was fitted between two deliveries; then files go after a week, then at once, twice."""
    place = tmp_path_factory.mktemp("maintain") / "w"
    weekly, at_once = config_of(place), config_of(place, *AT_ONCE)
    warehouse = Warehouse(spark, weekly.warehouse)
    for time in (AS_OF - DAY, AS_OF - 2 * DAY):
        warehouse.merge(data.EVENTS, events(spark, time), update=False)
    for job in (fitting(), clean(AS_OF + DAY)):
        execute(job, spark, weekly, AS_OF)
    return Cared(
        at_once,
        digests(warehouse)["events"],
        care(spark, weekly, dry_run=True),
        care(spark, weekly),
        [warehouse.rows_before(data.EVENTS, AS_OF + 2 * DAY, version=version) for version in (1, 2, 3)],
        care(spark, at_once),
        care(spark, at_once, dry_run=True),
    )


def test_a_dry_run_says_what_will_be_put_together(cared: Cared) -> None:
    assert (cared.planned.files.number, cared.planned.combined, cared.planned.deleted) == (3, 3, 0)
    assert cared.weekly.files == cared.planned.files, "and changes nothing"


def test_small_files_become_one_and_rows_stay(spark: SparkSession, cared: Cared) -> None:
    assert (cared.weekly.combined, cared.weekly.into) == (3, 1)
    assert digests(Warehouse(spark, cared.config.warehouse))["events"] == cared.rows


def test_earlier_versions_stay_readable_within_the_retention(cared: Cared) -> None:
    assert cared.weekly.deleted == 0
    assert cared.readable == [1, 2, 3]


def test_files_that_no_version_needs_are_deleted(cared: Cared) -> None:
    assert (cared.at_once.combined, cared.at_once.deleted) == (0, 3)
    left = (Path(cared.config.warehouse.path) / "events").rglob("*.parquet")
    assert len([file for file in left if "_delta_log" not in file.parts]) == 1


def test_a_second_time_there_is_nothing_to_do(cared: Cared) -> None:
    assert cared.again.files.number == 1
    assert not cared.again.changes


def test_what_was_made_is_up_to_date_though_what_it_read_is_gone(spark: SparkSession, cared: Cared) -> None:
    warehouse = Warehouse(spark, cared.config.warehouse)
    assert warehouse.rows_before(data.EVENTS, AS_OF, version=2) is None
    assert is_settled(spark, cared.config), "the number of its events was counted before"
    execute(clean(AS_OF - 3 * DAY), spark, cared.config, AS_OF)
    assert not is_settled(spark, cared.config), "an event of before it came in late"


def test_slices_of_long_ago_go_but_not_those_that_are_needed(spark: SparkSession, tmp_path: Path) -> None:
    config = config_of(tmp_path / "w")
    warehouse = Warehouse(spark, config.warehouse)
    for as_of in (MONTHS_AGO, AS_OF):
        execute(daily_lists(), spark, config, as_of)
        (tmp_path / "w" / "snapshots" / "ranked" / stamp(as_of)).mkdir(parents=True)

    def found(oldest: datetime) -> list[Expired]:
        return expired(warehouse, {"ranked": 5}, as_of=AS_OF + DAY, oldest_needed=lambda newest: min(newest, oldest))

    assert found(MONTHS_AGO) == []
    (old,) = found(AS_OF)
    assert old == Expired(data.RANKED, AS_OF - 5 * DAY, 1)
    remove_expired(warehouse, old, run_id="r")
    assert [row[0] for row in warehouse.read(data.RANKED).select("as_of").collect()] == [AS_OF.replace(tzinfo=None)]
    assert [place.name for place in (tmp_path / "w" / "snapshots" / "ranked").iterdir()] == [stamp(AS_OF)]
    assert [is_done(spark, daily_lists(), config, at) for at in (MONTHS_AGO, AS_OF)] == [False, True]


def test_what_retrievers_learned_goes_together(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = Warehouse(spark, config_of(tmp_path / "w").warehouse)
    rows = []
    for as_of in (MONTHS_AGO, AS_OF):
        for name in ("popular", "ctr"):
            row = {
                "model_version": f"{name}-{stamp(as_of)}-0a1b2c3d",
                "kind": name,
                "as_of": as_of,
                "created_at": as_of,
            }
            rows.append(
                {**row, "config": "{}", "code_version": "1", "metrics": {}, "data_versions": {}, "checksums": {}}
            )
    warehouse.merge(data.MODELS, logs.frame(spark, data.MODELS, rows), update=False)
    fitted = popular(spark, "a", MONTHS_AGO).unionAll(popular(spark, "a", AS_OF))
    warehouse.merge(POPULAR_ITEMS, fitted, update=False)
    for one in expired(warehouse, {"fits": 30}, as_of=AS_OF, oldest_needed=lambda newest: newest):
        remove_expired(warehouse, one, run_id="r")
    models = [row[0] for row in warehouse.read(data.MODELS).select("model_version").collect()]
    kept = [f"ctr-{stamp(MONTHS_AGO)}", f"ctr-{stamp(AS_OF)}", f"popular-{stamp(AS_OF)}"]
    assert sorted(name.rpartition("-")[0] for name in models) == kept
    assert [row[0] for row in warehouse.read(POPULAR_ITEMS).select("as_of_key").collect()] == [stamp(AS_OF)]


def test_a_run_looks_back_to_the_first_rung_of_its_ladder() -> None:
    ladder = load_config(overrides=["ctr_examples.instants=3", "ctr_examples.cadence_days=7"])
    newest = AS_OF - ladder.evaluate.horizon_days * DAY
    assert oldest_needed(ladder, AS_OF) == newest - 14 * DAY
    assert oldest_needed(load_config(overrides=["ctr_examples.origins=[lists]"]), AS_OF) == AS_OF


def test_files_are_not_deleted_at_once_while_a_job_runs_nor_does_one_start(spark: SparkSession, tmp_path: Path) -> None:
    config = config_of(tmp_path / "w", *AT_ONCE)

    def run(context: Context) -> Writes:
        with pytest.raises(SliceHeldError, match="maintain"):
            next(maintain(Warehouse(spark, config.warehouse), config, as_of=AS_OF, names=["runs"]))
        return Writes()

    execute(Job("rank", run, writes=(data.RANKED,)), spark, config, AS_OF)
    caring = maintain(Warehouse(spark, config.warehouse), config, as_of=AS_OF, names=["runs"])
    next(caring)
    with pytest.raises(SliceHeldError):
        execute(writer(), spark, config, AS_OF)
    caring.close()


def test_short_retention_has_to_be_asked_for_twice() -> None:
    with pytest.raises(ConfigError, match="short_retention"):
        load_config(overrides=["maintain.retention_days=6"])


def test_a_table_without_slices_can_not_lose_them_by_age(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = Warehouse(spark, config_of(tmp_path / "w").warehouse)
    with pytest.raises(ConfigError, match=r"events has no slices.*ranked.*fits"):
        expired(warehouse, {"events": 5}, as_of=AS_OF, oldest_needed=lambda newest: newest)
