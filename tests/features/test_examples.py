"""Labels, sampling and splits on literal rows; then both jobs over a small warehouse."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import ctr_examples, features, train_ctr
from recsys import data
from recsys.config import Config, stamp
from recsys.ctr.training.shards import snapshot_shards
from recsys.errors import DataError, NothingToDo
from recsys.features import examples, sampling
from recsys.features.ladder import ladder
from recsys.pipeline import execute
from recsys.retrieval import registry
from recsys.store import Warehouse
from tests.features import logs
from tests.features.logs import AS_OF, Row

pytestmark = pytest.mark.spark

EXAMPLES = registry.examples_table(registry.defaults())


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
    past = logs.frame(spark, data.EVENTS, [event for event in log if event["event_time"] < AS_OF])
    shown_items = examples.with_outcomes(logs.frame(spark, data.IMPRESSIONS, rows), past)
    found = examples.from_lists(shown_items, as_of=AS_OF, window_days=30)
    want = {("given", "a"): 1, ("given", "b"): 0, ("open", "a"): 1, ("open", "b"): 0, ("open", "c"): 0}
    assert labels(found.pairs) == want
    assert examples.count_labels(found.pairs) == [examples.Counts(None, 2, 3, 1)]
    targets = {"origin", "label", "cart", "purchase", "propensity"}
    assert set(found.lists.columns) == set(found.pairs.columns) - targets


def test_carts_and_purchases_are_labels_of_their_own(spark: SparkSession) -> None:
    rows = shown("l", ago(days=2), {"a": None, "b": None, "c": 1.0})
    log = [
        clicked(1, "l", "a", ago(days=2)),
        clicked(2, "l", "a", ago(days=1), event_type="purchase"),
        clicked(3, "l", "b", ago(days=1), event_type="cart"),
        clicked(4, None, "c", ago(days=1), event_type="purchase"),
    ]
    found = examples.with_outcomes(logs.frame(spark, data.IMPRESSIONS, rows), logs.frame(spark, data.EVENTS, log))
    known = {r["item_id"]: (r["label"], r["cart"], r["purchase"], r["outcome_date"]) for r in found.collect()}
    first, second = ago(days=2).date(), ago(days=1).date()
    assert known == {"a": (1, 0, 1, first), "b": (1, 1, 0, second), "c": (1, 0, 0, first)}


def test_a_click_belongs_to_the_user_who_made_it(spark: SparkSession) -> None:
    """Two users were shown lists of the same id; one of them clicked."""
    mine = shown("l", ago(hours=2), {"a": None, "b": None})
    theirs = [{**row, "user_id": "u1", "item_id": f"{row['item_id']}2"} for row in mine]
    log = [clicked(1, "l", "a", ago(hours=1)), {**clicked(2, "l", "a2", ago(hours=1)), "user_id": "u0"}]
    impressions = logs.frame(spark, data.IMPRESSIONS, [*mine, *theirs])
    assert examples.shared_lists(impressions) == 1
    assert examples.shared_lists(logs.frame(spark, data.IMPRESSIONS, mine)) == 0
    outcomes = examples.with_outcomes(impressions, logs.frame(spark, data.EVENTS, log))
    found = examples.from_lists(outcomes, as_of=AS_OF, window_days=30, shared=True)
    assert labels(found.pairs) == {("l u0", "a"): 1, ("l u0", "b"): 0, ("l u1", "a2"): 0, ("l u1", "b2"): 0}


ITEMS = ("i0", "i1", "i2")
CANDIDATE = {"score": 1.0, "sources": ["als"], "ranks": {"als": 1}, "scores": {"als": 0.5}}


def candidates(spark: SparkSession, at: datetime, users: int = 3, items: int = 3) -> DataFrame:
    rows = [
        {"run_date": at.date(), "as_of": at, "user_id": f"u{u}", "item_id": f"i{i}", "rank": i + 1, **CANDIDATE}
        for u in range(users)
        for i in range(items)
    ]
    return logs.frame(spark, data.CANDIDATES, rows)


def test_labels_of_candidates_are_what_followed(spark: SparkSession) -> None:
    start, before = ago(days=7), ago(days=14)
    log = [
        clicked(1, None, "i0", start),
        clicked(2, None, "i1", start - timedelta(seconds=1)),
        clicked(3, None, "i2", AS_OF),
        clicked(4, None, "i9", ago(days=1)),  # taken up without having been proposed
        clicked(5, None, "i2", ago(days=1), event_type="rating", value=2.0),
        {**clicked(6, None, "i0", ago(days=1), event_type="view"), "user_id": "u1"},
        {**clicked(7, None, "i0", ago(days=1), is_bot=True), "user_id": "u2"},
    ]
    made = candidates(spark, start).unionByName(candidates(spark, before)).unionByName(candidates(spark, AS_OF))
    found = examples.from_candidates(
        made,
        logs.frame(spark, data.EVENTS, log),
        instants=(start, before),
        horizon_days=7,
        relevant_types=("click", "rating"),
        min_value=4.0,
    )
    rows = {(r["list_id"][:8], r["user_id"], r["item_id"]): r["label"] for r in found.pairs.collect()}
    newer = {(f"{start:%Y%m%d}", u, i): float((u, i) == ("u0", "i0")) for u in ("u0", "u1") for i in ITEMS}
    older = {(f"{before:%Y%m%d}", "u0", i): float(i == "i1") for i in ITEMS}
    assert rows == newer | older
    assert examples.count_labels(found.pairs) == [
        examples.Counts(start, 1, 5, 2),
        examples.Counts(before, 1, 2, 1),
    ]


def some_pairs(spark: SparkSession, origin: str) -> DataFrame:
    rows = [
        (f"l{n % 50}", f"i{n}", f"u{n % 7}", origin, float(n % 20 == 0), float(n == 1), None, "train")
        for n in range(2000)
    ]
    return spark.createDataFrame(
        rows,
        "list_id string, item_id string, user_id string, origin string, label double, cart double, purchase double, "
        "split string",
    )


def test_negatives_are_sampled_by_key_and_positives_kept(spark: SparkSession) -> None:
    counts = [examples.Counts(None, 100, 1900, 7)]
    rate = sampling.sample_rate(counts, 5)
    assert rate == pytest.approx(500 / 1900)
    frame = some_pairs(spark, "lists")
    first = {row["item_id"]: row for row in sampling.sampled(frame, rates={"lists": rate}).collect()}
    again = sampling.sampled(frame.repartition(5), rates={"lists": rate}).collect()
    assert first == {row["item_id"]: row for row in again}
    kept = {item for item, row in first.items() if row["sample_rate"] == 1}
    assert kept == {f"i{n}" for n in range(0, 2000, 20)} | {"i1"}, "a positive of any target stays"
    assert 400 < len(first) - len(kept) < 600
    assert sampling.sample_rate([examples.Counts(None, 3, 10, 2)], 10) == 1.0


def test_held_out_candidates_stay_whole_lists(spark: SparkSession) -> None:
    frame = some_pairs(spark, "candidates").withColumn("split", F.lit("test"))
    found = sampling.sampled(frame, rates={"candidates": 0.1})
    assert found.count() == 2000 and found.where("sample_rate < 1").isEmpty()


def test_users_of_the_newest_instant_are_held_out(spark: SparkSession) -> None:
    new, old = examples.Counts(AS_OF, 1, 1, 400), examples.Counts(ago(days=7), 1, 1, 400)
    assert sampling.held_out_share([new, old], holdout_users=5000) == 1.0
    assert sampling.held_out_share([new, old], holdout_users=100) == 0.25
    assert sampling.held_out_share([new], holdout_users=5000) == 0.5
    rows = [(f"u{n}", at) for n in range(1000) for at in (AS_OF, ago(days=7))]
    frame = spark.createDataFrame(rows, "user_id string, example_time timestamp")
    counts: Counter[tuple[bool, str]] = Counter()
    for row in (
        sampling.split_candidates(frame, newest=AS_OF, share=0.5)
        .select((F.col("example_time") == F.lit(AS_OF)).alias("new"), "split")
        .collect()
    ):
        counts[row["new"], row["split"]] += 1
    assert counts[False, "train"] == 1000
    shares = {split: counts[True, split] / 1000 for split in ("train", "valid", "calibration", "test")}
    assert shares == pytest.approx({"train": 0.5, "valid": 0.2, "calibration": 0.1, "test": 0.2}, abs=0.05)


def test_a_session_lies_in_one_split_and_the_newest_are_held_out(spark: SparkSession) -> None:
    rows = [
        (f"l{n}", f"s{n // 2}" if n % 10 else None, AS_OF + timedelta(minutes=n), f"u{n // 2}")
        for n in range(200)
        for _ in "ab"
    ]
    frame = spark.createDataFrame(rows, "list_id string, session_id string, example_time timestamp, user_id string")
    found = sampling.split_lists(frame, holdout_share=0.3).collect()
    assert len(found) == 400
    whole: dict[str, set[str]] = {}
    for row in found:
        whole.setdefault(row["session_id"] or row["list_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in whole.values())
    train = [int(row["list_id"][1:]) for row in found if row["split"] == "train"]
    held = [int(row["list_id"][1:]) for row in found if row["split"] != "train"]
    assert max(train) <= min(held) + 1 and len(held) / 400 == pytest.approx(0.3, abs=0.02)
    one = sampling.split_lists(frame.limit(2), holdout_share=0.3).collect()
    assert len({row["split"] for row in one}) == 1


def test_a_session_is_one_of_its_user(spark: SparkSession) -> None:
    """Everybody counts sessions from 1; what came last is held out all the same."""
    rows = [(f"l{n}", "1", AS_OF + timedelta(minutes=n), f"u{n}") for n in range(10)]
    frame = spark.createDataFrame(rows, "list_id string, session_id string, example_time timestamp, user_id string")
    found = sampling.split_lists(frame, holdout_share=0.3).collect()
    assert sorted(row["list_id"] for row in found if row["split"] != "train") == ["l7", "l8", "l9"]


def config(warehouse: Warehouse, **values: Any) -> Config:
    examples_of = {"shards": 2, **values.get("ctr_examples", {})}
    return Config.model_validate({"warehouse": {"path": warehouse.root}, **values, "ctr_examples": examples_of})


def table(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    rows = warehouse.read(EXAMPLES, where=data.slice_of(AS_OF)).collect()
    return sorted((tuple(row) for row in rows), key=str)


def test_both_jobs_twice_and_with_a_future(spark: SparkSession, warehouse: Warehouse) -> None:
    cfg = config(warehouse)
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
    splits = {row["split"] for row in warehouse.read(EXAMPLES, where=data.slice_of(AS_OF)).collect()}
    assert len(first) == len(lists) and "train" in splits and len(splits) > 1
    shards = snapshot_shards(warehouse.path("snapshots", "ctr_examples", stamp(AS_OF), "lists"))
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


def test_candidates_of_past_instants_if_nothing_was_shown(spark: SparkSession, warehouse: Warehouse) -> None:
    cfg = config(warehouse)
    log = logs.frame(spark, data.EVENTS, [e for e in logs.events(2, 150) if e["event_time"] < AS_OF])
    warehouse.replace(data.EVENTS, log, where={})
    execute(features.run, spark, cfg, AS_OF)
    with pytest.raises(NothingToDo, match="no candidates of the instants .*--to candidates"):
        execute(ctr_examples.run, spark, cfg, AS_OF)
    rungs = ladder(AS_OF, horizon_days=7, instants=4, cadence_days=None)[:2]
    for rung in rungs:
        warehouse.replace(data.CANDIDATES, candidates(spark, rung, 5, 7), where={"run_date": rung.date()})
    execute(ctr_examples.run, spark, cfg, AS_OF)
    rows = warehouse.read(EXAMPLES, where=data.slice_of(AS_OF)).collect()
    assert {r["label"] for r in rows} == {0.0, 1.0} and {r["als_rank"] for r in rows} == {1.0}
    assert {r["origin"] for r in rows} == {"candidates"}
    assert {r["split"] == "train" for r in rows if r["example_time"].date() == rungs[1].date()} == {True}
    newest = [(r["user_id"], r["split"]) for r in rows if r["example_time"].date() == rungs[0].date()]
    assert "train" not in {split for _, split in newest}
    assert len(set(newest)) == len({user for user, _ in newest}), "a user's list is in one part"
    with pytest.raises(NothingToDo, match="0 were taken up"):
        execute(ctr_examples.run, spark, config(warehouse, evaluate={"relevant_types": ["play"]}), AS_OF)
    assert table(warehouse) == [], "examples of another config stay to be learned from"
    with pytest.raises(NothingToDo, match="the training split is empty"):
        execute(train_ctr.run, spark, cfg, AS_OF)
    with pytest.raises(NothingToDo, match="no lists were shown"):
        execute(ctr_examples.run, spark, config(warehouse, ctr_examples={"origins": ["lists"]}), AS_OF)
