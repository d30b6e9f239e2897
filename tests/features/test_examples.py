"""Labels, sampling and splits on literal rows; then both jobs over a small warehouse."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import ctr_examples, features, train_ctr
from recsys import data
from recsys.config import Config, stamp
from recsys.ctr.training.shards import snapshot_shards
from recsys.environment import WarehouseSettings
from recsys.errors import DataError, NothingToDo
from recsys.features import examples, sampling
from recsys.pipeline import execute
from recsys.pipeline.graph import learns_from_lists
from recsys.retrieval import registry
from recsys.store import Warehouse
from tests.features import logs
from tests.features.logs import AS_OF, Row

pytestmark = pytest.mark.spark

EXAMPLES = registry.examples_table(registry.defaults())
TYPES = ("click", "purchase")


def ago(**time: float) -> datetime:
    return AS_OF - timedelta(**time)


def shown(list_id: str, at: datetime, labels: dict[str, float | None], **values: Any) -> list[Row]:
    return [
        logs.impression(list_id=list_id, item_id=item, user_id="u0", shown_at=at, position=n, label=label, **values)
        for n, (item, label) in enumerate(labels.items(), start=1)
    ]


def clicked(number: int, list_id: str | None, item: str, at: datetime, **values: Any) -> Row:
    return logs.event(
        event_id=f"c{number}",
        user_id="u0",
        item_id=item,
        list_id=list_id,
        event_time=at,
        **{"event_type": "click", **values},
    )


def labels(frame: DataFrame) -> dict[tuple[str, str], float]:
    return {(row["list_id"], row["item_id"]): row["label"] for row in frame.collect()}


def test_labels_of_shown_lists(spark: SparkSession) -> None:
    rows = [
        *shown("given", ago(hours=2), {"a": 1.0, "b": 0.0}),
        *shown("open", ago(hours=2), {"a": None, "b": None, "c": None}),
        *shown("robot", ago(hours=2), {"a": 1.0}, is_bot=True),
        *shown("old", ago(days=31), {"a": 1.0}),
        *shown("future", AS_OF, {"a": 1.0}),
    ]
    log = [
        clicked(1, "given", "b", ago(hours=1)),  # the log has decided
        clicked(2, "open", "a", ago(hours=1)),
        clicked(3, "open", "a", ago(minutes=1)),
        clicked(4, "open", "b", AS_OF),  # at as_of is too late
        clicked(5, "open", "c", ago(hours=1), event_type="view"),
        clicked(6, None, "c", ago(hours=1)),
    ]
    found = examples.from_lists(
        logs.frame(spark, data.IMPRESSIONS, rows),
        logs.frame(spark, data.EVENTS, log),
        as_of=AS_OF,
        window_days=30,
        label_types=TYPES,
    )
    want = {("given", "a"): 1, ("given", "b"): 0, ("open", "a"): 1, ("open", "b"): 0, ("open", "c"): 0}
    assert labels(found.pairs) == want
    assert examples.label_counts(found.pairs) == examples.LabelCounts(2, 3)
    assert set(found.lists.columns) == set(found.pairs.columns) - {"label"}


CANDIDATE = {"score": 1.0, "sources": ["als"], "ranks": {"als": 1}, "scores": {"als": 0.5}}


def candidates(spark: SparkSession, at: datetime, users: int = 3, items: int = 3) -> DataFrame:
    rows = [
        {"run_date": at.date(), "as_of": at, "user_id": f"u{u}", "item_id": f"i{i}", "rank": i + 1, **CANDIDATE}
        for u in range(users)
        for i in range(items)
    ]
    return logs.frame(spark, data.CANDIDATES, rows)


def test_labels_of_candidates_are_what_followed(spark: SparkSession) -> None:
    start = ago(days=7)
    log = [
        clicked(1, None, "i0", start),
        clicked(2, None, "i1", start - timedelta(seconds=1)),
        clicked(3, None, "i2", AS_OF),
        clicked(4, None, "i9", ago(days=1)),  # taken up without having been proposed
        {**clicked(5, None, "i0", ago(days=1), event_type="view"), "user_id": "u1"},
        {**clicked(6, None, "i0", ago(days=1), is_bot=True), "user_id": "u2"},
    ]
    events = logs.frame(spark, data.EVENTS, log)
    found = examples.from_candidates(candidates(spark, start), events, instant=start, as_of=AS_OF, label_types=TYPES)
    rows = {(r["user_id"], r["item_id"]): r["label"] for r in found.pairs.collect()}
    assert rows == {(u, i): float((u, i) == ("u0", "i0")) for u in ("u0", "u1") for i in ("i0", "i1", "i2")}
    assert found.instant == start


def test_candidates_of_another_instant_are_refused(spark: SparkSession) -> None:
    examples.require_made_at(candidates(spark, AS_OF), AS_OF)
    with pytest.raises(DataError, match="of another instant.*--as-of 2021-03-10T12:30:00Z"):
        examples.require_made_at(candidates(spark, ago(hours=1)), AS_OF)
    with pytest.raises(DataError, match="there are no candidates"):
        examples.require_made_at(candidates(spark, AS_OF, users=0), AS_OF)


def test_negatives_are_sampled_by_key_and_positives_kept(spark: SparkSession) -> None:
    data = [(f"l{n % 50}", f"i{n}", f"u{n % 7}", float(n % 20 == 0)) for n in range(2000)]
    frame = spark.createDataFrame(data, "list_id string, item_id string, user_id string, label double")
    rate = examples.label_counts(frame).sample_rate(5)
    assert rate == pytest.approx(500 / 1900)
    first = {tuple(r) for r in sampling.sampled(frame, rate=rate).collect()}
    again = {tuple(r) for r in sampling.sampled(frame.repartition(5), rate=rate).collect()}
    assert first == again
    assert sum(r[3] for r in first) == 100 and all(r[4] == (1 if r[3] else rate) for r in first)
    assert 400 < sum(r[3] == 0 for r in first) < 600
    assert examples.LabelCounts(3, 10).sample_rate(10) == 1.0
    splits = sampling.split_by_user(frame, valid_share=0.3, test_share=0.3).select("user_id", "split").distinct()
    assert splits.count() == 7


def test_a_session_lies_in_one_split_and_time_orders_them(spark: SparkSession) -> None:
    data = [
        (f"l{n}", f"s{n // 2}" if n % 10 else None, AS_OF + timedelta(minutes=n), "i") for n in range(200) for _ in "ab"
    ]
    frame = spark.createDataFrame(data, "list_id string, session_id string, example_time timestamp, item_id string")
    rows = sampling.split_by_time(frame, valid_share=0.2, test_share=0.1).collect()
    assert len(rows) == 400
    whole: dict[str, set[str]] = {}
    for row in rows:
        whole.setdefault(row["session_id"] or row["list_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in whole.values())
    shares = {s: sum(r["split"] == s for r in rows) / 400 for s in ("train", "valid", "test")}
    assert shares == pytest.approx({"train": 0.7, "valid": 0.2, "test": 0.1}, abs=0.02)
    assert (
        len({r["split"] for r in sampling.split_by_time(frame.limit(2), valid_share=0.2, test_share=0.1).collect()})
        == 1
    )


def config(warehouse: Warehouse, **values: Any) -> Config:
    return Config.model_validate({"warehouse": {"path": warehouse.root}, "ctr_examples": {"shards": 2, **values}})


def table(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    rows = warehouse.read(EXAMPLES, where=data.slice_of(AS_OF)).collect()
    return sorted((tuple(row) for row in rows), key=str)


def test_both_jobs_twice_and_with_a_future(spark: SparkSession, warehouse: Warehouse) -> None:
    cfg = config(warehouse, origin="auto")
    log = logs.sessions(logs.events(1, 150), 1)
    past = [e for e in log if e["event_time"] < AS_OF]
    lists = [
        row
        for n, e in enumerate([e for e in past if e["event_time"] > ago(days=20)][:30])
        for row in shown(f"l{n}", e["event_time"], {f"i{(n + k) % 7}": float(k == 1) for k in range(3)})
    ]
    warehouse.replace(data.EVENTS, logs.frame(spark, data.EVENTS, past), where={})
    warehouse.replace(data.IMPRESSIONS, logs.frame(spark, data.IMPRESSIONS, lists), where={})
    with pytest.raises(DataError, match="features"):
        execute(ctr_examples.run, spark, cfg, AS_OF)
    execute(features.run, spark, cfg, AS_OF)
    execute(ctr_examples.run, spark, cfg, AS_OF)
    first = table(warehouse)
    assert len(first) == len(lists) and {row[3] for row in first} == {"train", "valid", "test"}
    shards = snapshot_shards(warehouse.path("snapshots", "ctr_examples", stamp(AS_OF)))
    assert sum(shard.rows for found in shards.values() for shard in found) == len(first)
    # The future arrives, with lists and labels of its own; nothing changes.
    future = [clicked(1, "l0", "i0", AS_OF), *(e for e in log if e["event_time"] >= AS_OF)]
    warehouse.merge(data.EVENTS, logs.frame(spark, data.EVENTS, future), update=False)
    more = logs.frame(spark, data.IMPRESSIONS, shown("later", AS_OF, {"i0": 1.0}))
    warehouse.merge(data.IMPRESSIONS, more, update=False)
    before = warehouse.version(data.USER_DAILY)
    execute(features.run, spark, cfg, AS_OF)
    assert warehouse.version(data.USER_DAILY) == before  # no day was stale
    execute(ctr_examples.run, spark, cfg, AS_OF)
    assert table(warehouse) == first


def test_candidates_of_an_earlier_instant_if_nothing_was_shown(spark: SparkSession, warehouse: Warehouse) -> None:
    cfg = config(warehouse)
    log = logs.frame(spark, data.EVENTS, [e for e in logs.events(2, 150) if e["event_time"] < AS_OF])
    warehouse.replace(data.EVENTS, log, where={})
    execute(features.run, spark, cfg, AS_OF)
    with pytest.raises(DataError, match="--to candidates --as-of 2021-03-03T12:30:00Z"):
        execute(ctr_examples.run, spark, cfg, AS_OF)
    start = ago(days=7)
    warehouse.replace(data.CANDIDATES, candidates(spark, start, 5, 7), where={"run_date": start.date()})
    execute(ctr_examples.run, spark, cfg, AS_OF)
    rows = warehouse.read(EXAMPLES, where=data.slice_of(AS_OF)).collect()
    assert {r["label"] for r in rows} == {0.0, 1.0} and {r["als_rank"] for r in rows} == {1.0}
    users = {(r["user_id"], r["split"]) for r in rows}
    assert len(users) == len({user for user, _ in users})
    with pytest.raises(NothingToDo, match="none was taken up"):
        execute(ctr_examples.run, spark, config(warehouse, label_types=["play"]), AS_OF)
    assert table(warehouse) == [], "examples of another config stay to be learned from"
    with pytest.raises(NothingToDo, match="the training split is empty"):
        execute(train_ctr.run, spark, cfg, AS_OF)
    with pytest.raises(NothingToDo, match="none was followed by"):
        execute(ctr_examples.run, spark, config(warehouse, origin="impressions"), AS_OF)


LISTS = {
    "an event names a list": (timedelta(days=1), None, "click", True),
    "a label": (timedelta(days=1), 1.0, None, True),
    "nothing taken up": (timedelta(days=1), 0.0, None, False),
    "an event that is no label": (timedelta(days=1), None, "view", False),
    "too old": (timedelta(days=40), 1.0, "click", False),
    "too late": (timedelta(0), 1.0, "click", False),
}
"""How long before the instant a list was shown, its label, the type of the event that names it (else a click names no
list), and whether the pipeline learns from it."""
INSTANTS = {kind: AS_OF + timedelta(days=100 * number) for number, kind in enumerate(LISTS)}
"""Months apart, so that all lists share one warehouse and no instant sees another's."""


@pytest.fixture(scope="module")
def all_lists(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    lists, log = [], []
    for number, (kind, (age, label, named_by, _)) in enumerate(LISTS.items()):
        name, day_before = f"l{number}", INSTANTS[kind] - timedelta(days=1)
        lists += shown(name, INSTANTS[kind] - age, {"i0": label})
        log.append(clicked(number, name if named_by else None, "i0", day_before, event_type=named_by or "click"))
    warehouse = Warehouse(spark, WarehouseSettings(path=str(tmp_path_factory.mktemp("lists") / "warehouse")))
    warehouse.replace(data.IMPRESSIONS, logs.frame(spark, data.IMPRESSIONS, lists), where={})
    warehouse.replace(data.EVENTS, logs.frame(spark, data.EVENTS, log), where={})
    return warehouse


@pytest.mark.parametrize("kind", LISTS)
def test_the_pipeline_learns_from_lists_that_can_be_learned_from(
    spark: SparkSession, all_lists: Warehouse, kind: str
) -> None:
    """Otherwise it would skip the candidates from which the examples are to be made."""
    cfg = config(all_lists, window_days=30, label_types=["click"])
    assert learns_from_lists(spark, cfg, INSTANTS[kind]) is LISTS[kind][3]
