"""A day on literal rows: what is left out of the truth, both kinds of popularity, clicks on shown lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.evaluation.baseline import overall
from recsys.evaluation.day import Day
from recsys.evaluation.judged import Judged
from recsys.evaluation.rows import ranker_rows
from recsys.evaluation.settings import EvaluateSettings
from recsys.evaluation.shown import shown_figures, shown_sums, shown_within
from recsys.evaluation.stages import Stages
from recsys.evaluation.truth import with_parts
from recsys.retrieval.audience import Audience
from recsys.retrieval.popular.retriever import Popular, PopularModel

pytestmark = [pytest.mark.fast, pytest.mark.spark]

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
EVENT = (
    "user_id string, item_id string, event_type string, event_time timestamp, value double, is_bot boolean, "
    "list_id string"
)
IMPRESSION = (
    "list_id string, item_id string, user_id string, shown_at timestamp, position int, label double, "
    "propensity double, is_bot boolean"
)


def event(user: str, item: str, day: float, kind: str = "click", shown: str | None = None) -> tuple[Any, ...]:
    return (user, item, kind, AS_OF + timedelta(days=day), None, False, shown)


def impression(shown: str, item: str, user: str, day: float, position: int, label: float | None) -> tuple[Any, ...]:
    return (shown, item, user, AS_OF + timedelta(days=day), position, label, 0.5, False)


@pytest.fixture(scope="module")
def popular(spark: SparkSession) -> PopularModel:
    lists = [("", 1, "a", 3.0), ("", 2, "b", 2.0), ("", 3, "c", 1.0), ("north", 1, "c", 1.0)]
    people = spark.createDataFrame([("u", "north"), ("v", None)], "user_id string, segment string")
    nothing = "user_id string, item_id string, weight double, last_time timestamp, seen boolean"
    audience = Audience(
        people, spark.createDataFrame([], nothing), spark.createDataFrame([], "item_id string, idx int")
    )
    frame = spark.createDataFrame(lists, "segment string, rank int, item_id string, score double")
    return PopularModel(Popular(), {"popular": frame}, audience)


@pytest.fixture(scope="module")
def day(spark: SparkSession, popular: PopularModel) -> Day:
    log = [event("u", "seen", -1), event("u", "seen", 1), event("u", "gone", 1), event("u", "a", 1)]
    items = [("a", "x", True), ("b", "x", True), ("c", "y", True), ("gone", "y", False)]
    lists = "user_id string, item_id string, rank int, model_version string"
    return Day(
        as_of=AS_OF,
        events=spark.createDataFrame(log, EVENT),
        items=spark.createDataFrame(items, "item_id string, category string, available boolean"),
        users=spark.createDataFrame([("u", "north")], "user_id string, segment string"),
        candidates=spark.createDataFrame(
            [("v", "b", 1, {"als": 1})], "user_id string, item_id string, rank int, ranks map<string,int>"
        ),
        ranked=spark.createDataFrame([], f"{lists}, score_parts map<string,double>"),
        final=spark.createDataFrame([("v", "b", 1, "retrieval")], lists),
        stages=Stages(("als", "popular"), "popular", more_baselines=("popular_overall",)),
        baselines={"popular": popular, "popular_overall": overall(popular)},
        seen=spark.createDataFrame([("u", "seen")], "user_id string, item_id string"),
        model=None,
    )  # fmt: skip


def relevant(day: Day, **changes: bool) -> DataFrame:
    rules = {"only_new_items": True, "exclude_unavailable": True, **changes}
    return day.relevant(horizon_days=7, relevant_types=("click",), min_value=None, include_anonymous=False, **rules)


def pairs(frame: DataFrame) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in frame.collect()}


def test_what_no_list_may_hold_is_not_true(day: Day) -> None:
    assert pairs(relevant(day)) == {("u", "a")}
    assert pairs(relevant(day, exclude_unavailable=False)) == {("u", "a"), ("u", "gone")}
    assert pairs(relevant(day, only_new_items=False)) == {("u", "a"), ("u", "seen")}
    assert pairs(relevant(replace(day, seen=None))) == {("u", "a"), ("u", "seen")}


def test_popularity_is_judged_by_segment_and_overall(day: Day, popular: PopularModel) -> None:
    population = day.population(relevant(day))
    rows = day.lists(population, shown=None, exclude_unavailable=True, depth=2).collect()
    found = {(row["stage"], row["user_id"], row["rank"]): row["item_id"] for row in rows}
    assert [found["popular", "u", n] for n in (1, 2)] == ["c", "a"]
    assert [found["popular_overall", "u", n] for n in (1, 2)] == ["a", "b"]
    assert not any(stage == "popular" and user == "v" for stage, user, _ in found)


def test_whoever_was_shown_something_has_a_baseline_too(spark: SparkSession, day: Day) -> None:
    """v has candidates and clicked nothing: without a list of popularity only clickers would be compared."""
    shown = spark.createDataFrame([("v",), ("stranger",)], "user_id string")
    rows = day.lists(day.population(relevant(day)), shown=shown, exclude_unavailable=True, depth=1)
    assert {row["user_id"] for row in rows.where("stage = 'popular'").collect()} == {"u", "v"}


def test_a_click_names_the_list_and_lies_within_the_horizon(spark: SparkSession) -> None:
    shown = [
        impression("l0", "a", "u", -0.1, 1, 1.0),
        impression("l1", "a", "u", 0, 1, None),
        impression("l1", "b", "u", 0, 2, None),
        impression("l2", "a", "u", 1, 1, 0.0),
        impression("l3", "a", "u", 6.9, 1, None),
        impression("l4", "a", "u", 7, 1, 1.0),
    ]
    log = [
        event("u", "a", 0.1, shown="l1"),
        event("u", "b", 0.1, kind="view", shown="l1"),
        event("u", "b", 0.1),
        event("u", "a", 1.1, shown="l2"),
        event("u", "a", 7.1, shown="l3"),
    ]
    frame = shown_within(
        spark.createDataFrame(shown, IMPRESSION),
        spark.createDataFrame(log, EVENT),
        as_of=AS_OF,
        horizon_days=7,
    )
    # By position: the log's own label of l2 wins over the event that names it.
    assert sorted((row["item_id"], row["position"], row["label"]) for row in frame.collect()) == [
        ("a", 1, 0.0),
        ("a", 1, 0.0),
        ("a", 1, 1.0),
        ("b", 2, 0.0),
    ]


def test_rows_of_every_stage_and_cut(spark: SparkSession) -> None:
    entries = [("final", "u", 1, "a"), ("final", "u", 2, "b"), ("candidates", "u", 1, "b"), ("final", "v", 1, "a")]
    lists = spark.createDataFrame(entries, "stage string, user_id string, rank int, item_id string")
    rows = [
        impression("l", "a", "u", 0, 1, 1.0),
        impression("l", "b", "u", 0, 2, 0.0),
        impression("m", "a", "v", 0, 2, 0.0),
    ]
    shown = spark.createDataFrame(rows, IMPRESSION)
    effects = spark.createDataFrame([(1, 1.0), (2, 0.5)], "position int, effect double")
    stages = Stages((), ranked=False)
    sums = shown_sums(lists, shown, stages=stages, ks=(1, 2), effects=effects, clip=100.0, resamples=20, seed=1)
    frame = shown_figures(sums, stages=stages, ks=(1, 2), resamples=20, corrected=True)
    found = {(row["stage"], row["metric"], row["k"]): (row["value"], row["n"]) for row in frame.collect()}
    assert found["final", "snips_ctr", 1] == (pytest.approx(1 / 1.5), 2)
    assert found["final", "snips_ctr", 2] == (pytest.approx(1 / 2), 2)
    assert found["final", "ctr_corrected", 2] == (pytest.approx(1 / 2), 2)
    assert found["candidates", "snips_ctr", 2] == (0.0, 1)
    assert found["final-candidates", "snips_ctr", 1] == (pytest.approx(1 / 1.5), 1)
    assert found["final", "snips_ess", 2] == (pytest.approx(3.0), 2)
    assert ("final-candidates", "snips_ess", 1) not in found


def test_cold_users_and_items_are_counted_from_the_day(spark: SparkSession, day: Day) -> None:
    """u has one event before, and is listed two items that nobody touched before; a is taken up."""
    listed = spark.createDataFrame(
        [("u", "a", ["popular"]), ("u", "b", [])], "user_id string, item_id string, sources array<string>"
    )
    facts = day.facts()
    taken = with_parts(relevant(day), facts)
    one = replace(day, final=listed, ranked=listed)
    judged = Judged(one, EvaluateSettings(), taken, day.population(taken), facts, listed, None, "retrieval")
    counts = {"listed": 2, "taken": 1, "both": 1, "by:als": 0, "by:popular": 1}
    assert judged.cold_start() == [{"user": "1-4", "item": "new", **counts}]


def test_figures_of_the_fit_pass_through(spark: SparkSession) -> None:
    names = ("test_auc_raw", "test_list_auc", "valid_ndcg", "click_test_base_rate", "test_mean_prediction", "epochs")
    model = {
        "model_version": "ctr-1",
        "metrics": {**dict.fromkeys(names, 0.5), "test_rows": 7.0, "click_test_rows": 9.0},
    }
    rows = ranker_rows(spark.range(1), model=model, as_of=AS_OF).select("metric", F.col("n")).collect()
    assert {row["metric"] for row in rows} == set(names) - {"epochs"}
    assert {row["metric"]: row["n"] for row in rows if "test" in row["metric"]} == {
        "test_auc_raw": 7,
        "test_list_auc": 7,
        "click_test_base_rate": 9,
        "test_mean_prediction": 7,
    }
