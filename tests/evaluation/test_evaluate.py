"""Truth, population and the figures of every stage on literal rows, against plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.evaluation import evaluate, truth
from recsys.evaluation.coverage import coverage
from recsys.publishing.gates import seen_pairs
from tests.evaluation import oracle

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
EVENT = "user_id string, item_id string, event_type string, event_time timestamp, value double, is_bot boolean"


def events(spark: SparkSession, rows: list[tuple[str, str, str, float]], bots: tuple[str, ...] = ()) -> DataFrame:
    return spark.createDataFrame(
        [(u, i, kind, AS_OF + timedelta(days=day), 3.0, u in bots) for u, i, kind, day in rows], EVENT
    )


def rows_of(frame: DataFrame) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in frame.collect()}


def test_truth_is_what_people_did_within_the_horizon(spark: SparkSession) -> None:
    log = events(
        spark,
        [
            ("u", "before", "click", -0.001),
            ("u", "first", "click", 0),
            ("u", "first", "click", 1),
            ("u", "last", "purchase", 6.99),
            ("u", "after", "click", 7),
            ("u", "looked", "view", 1),
            ("u", "rated", "rating", 1),
            ("anon:s", "x", "click", 1),
            ("bot", "x", "click", 1),
            ("bot", "x", "click", -9),
        ],
        bots=("bot",),
    )
    given = {"as_of": AS_OF, "horizon_days": 7, "relevant_types": ("click", "purchase", "rating")}
    assert rows_of(truth.truth(log, **given)) == {("u", "first"), ("u", "last"), ("u", "rated")}
    assert rows_of(truth.truth(log, **given, min_value=3.5)) == {("u", "first"), ("u", "last")}
    assert ("anon:s", "x") in rows_of(truth.truth(log, **given, include_anonymous=True))


def test_seen_pairs(spark: SparkSession) -> None:
    log = events(spark, [("u", "a", "view", -1), ("u", "b", "purchase", -1), ("u", "c", "purchase", 1)])
    assert rows_of(seen_pairs(log, as_of=AS_OF, seen_types=("purchase",))) == {("u", "b")}
    assert rows_of(seen_pairs(log, as_of=AS_OF, seen_types=("*",))) == {("u", "a"), ("u", "b")}


def test_population_knows_its_slices(spark: SparkSession) -> None:
    relevant = spark.createDataFrame(
        [(u, i) for u in ("new", "profiled", "looked", "some", "many") for i in ("a", "b")],
        "user_id string, item_id string",
    )
    past = events(
        spark,
        [("some", "a", "view", -1 - n) for n in range(4)]
        + [("many", "a", "view", -1 - n) for n in range(5)]
        + [("new", "a", "view", 0.5)],
    )
    users = spark.createDataFrame(
        [("profiled", "north"), ("some", "south"), ("many", None)], "user_id string, segment string"
    )
    shown = spark.createDataFrame([("looked", False), ("new", True)], "user_id string, is_bot boolean")
    population = truth.population(relevant, past=past, users=users, as_of=AS_OF, shown=shown)
    found = {row["user_id"]: row for row in population.collect()}
    assert {user: row["slices"] for user, row in found.items()} == {
        "new": ["all", "history:new"],
        "profiled": ["all", "history:new", "segment:north"],
        "looked": ["all", "known", "history:new"],
        "some": ["all", "known", "history:1-4", "segment:south"],
        "many": ["all", "known", "history:5+", "users:heavy"],
    }
    assert {user for user, row in found.items() if row["reachable"]} == {"profiled", "looked", "some", "many"}
    assert {row["n_relevant"] for row in found.values()} == {2}


def test_truth_is_cut_by_how_known_its_items_are(spark: SparkSession) -> None:
    """Of five touched items one is the head; z is in the catalog and untouched, y not even there."""
    counts = {"a": 5, "b": 2, "c": 1, "d": 1, "e": 1}
    past = events(spark, [("u", item, "view", -1 - n) for item, times in counts.items() for n in range(times)])
    items = spark.createDataFrame([("z", "x", True)], "item_id string, category string, available boolean")
    facts = truth.item_facts(past, items, as_of=AS_OF)
    pairs = [("v", "a"), ("v", "b"), ("v", "z"), ("w", "y")]
    relevant = truth.with_parts(spark.createDataFrame(pairs, "user_id string, item_id string"), facts)
    in_parts = {
        row["item_id"]: {name for bit, name in enumerate(truth.PARTS) if row["parts"] >> bit & 1}
        for row in relevant.collect()
    }
    assert in_parts == {
        "a": {"items:head"},
        "b": {"items:tail"},
        "z": {"items:tail", "items:new"},
        "y": {"items:tail", "items:new"},
    }
    nobody = spark.createDataFrame([], "user_id string, segment string")
    users = truth.population(relevant, past=past, users=nobody, as_of=AS_OF).collect()
    assert {row["user_id"]: row["n_parts"] for row in users} == {"v": [1, 2, 1], "w": [0, 1, 1]}


def test_item_facts(spark: SparkSession) -> None:
    past = events(
        spark, [("u", "a", "view", -1), ("v", "a", "view", -1), ("v", "unlisted", "view", -1), ("v", "b", "view", 1)]
    )
    items = spark.createDataFrame(
        [("a", "x", True), ("b", "y", True), ("gone", None, False)],
        "item_id string, category string, available boolean",
    )
    found = {row["item_id"]: row for row in truth.item_facts(past, items, as_of=AS_OF).collect()}
    # Three events before as_of and one added to each of four items.
    assert {item: round(2 ** -row["information"] * 7) for item, row in found.items()} == {
        "a": 3,
        "b": 1,
        "gone": 1,
        "unlisted": 2,
    }
    assert {item for item, row in found.items() if row["in_catalog"]} == {"a", "b", "unlisted"}


LISTS = [
    # stage, user, items in order ("" is a hole)
    ("final", "u1", ["c", "a", "d", "b"]),
    ("final", "u2", ["a"]),
    ("popular", "u1", ["a", "b", "c"]),
    ("popular", "u2", ["b", "", "e"]),
    ("popular", "u3", ["b", "c"]),
    ("final", "stranger", ["a", "b"]),
    ("other", "u1", ["a", "b"]),
]
TRUTH = {"u1": {"a", "b", "e"}, "u2": {"e"}, "u3": {"c", "z"}}
FACTS = {
    "a": ("x", 1.0, True),
    "b": ("x", 2.0, True),
    "c": ("y", 4.0, True),
    "d": (None, 8.0, False),
    "e": ("z", 3.0, True),
}


def test_figures_equal_the_oracle(spark: SparkSession) -> None:
    entries = [(s, u, n, i) for s, u, items in LISTS for n, i in enumerate(items, start=1) if i]
    lists = spark.createDataFrame(entries, "stage string, user_id string, rank int, item_id string")
    relevant = spark.createDataFrame(
        [(u, i) for u, items in TRUTH.items() for i in sorted(items)], "user_id string, item_id string"
    )
    population = spark.createDataFrame(
        [("u1", 3, ["all", "known"]), ("u2", 1, ["all", "known"]), ("u3", 2, ["all"])],
        "user_id string, n_relevant int, slices array<string>",
    )
    facts = spark.createDataFrame(
        [(i, *f) for i, f in FACTS.items()], "item_id string, category string, information double, in_catalog boolean"
    )
    ks, stages = (1, 3, 5), ("popular", "final")
    frame = evaluate.figures(
        lists,
        relevant=relevant,
        population=population,
        facts=facts,
        ks=ks,
        resamples=50,
        seed=1,
        stages=stages,
        differences=[("final", "popular")],
    )
    found = {(r["stage"], r["slice"], r["metric"], r["k"]): r for r in frame.collect()}
    assert len(found) == 3 * 2 * (3 * 8 + 1)
    ranks = {(s, u): {n: i for n, i in enumerate(items, start=1) if i} for s, u, items in LISTS}
    members = {"all": ["u1", "u2", "u3"], "known": ["u1", "u2"]}
    metrics = {
        "recall": oracle.recall, "precision": oracle.precision, "ndcg": oracle.ndcg,
        "map": oracle.average_precision, "mrr": oracle.mrr, "hit_rate": oracle.hit_rate,
    }  # fmt: skip
    for stage in stages:
        for name, users in members.items():
            for k in ks:
                for metric, compute in metrics.items():
                    row = found[stage, name, metric, k]
                    values = [compute(ranks.get((stage, u), {}), TRUTH[u], k) for u in users]
                    assert row["value"] == pytest.approx(sum(values) / len(values), abs=1e-8), (stage, name, metric, k)
                    assert row["n"] == len(users)
                bits = [
                    oracle.novelty(ranks.get((stage, u), {}), {i: f[1] for i, f in FACTS.items()}, k) for u in users
                ]
                known = [value for value in bits if value is not None]
                assert found[stage, name, "novelty", k]["value"] == pytest.approx(sum(known) / len(known), abs=1e-8)
            missing = sum((stage, u) not in ranks for u in users)
            assert found[stage, name, "no_list", 0]["value"] == pytest.approx(missing / len(users), abs=1e-8)
    difference = found["final-popular", "all", "ndcg", 5]["value"]
    assert difference == pytest.approx(
        found["final", "all", "ndcg", 5]["value"] - found["popular", "all", "ndcg", 5]["value"]
    )
    again = evaluate.figures(
        lists.repartition(3), relevant=relevant, population=population.repartition(2, "user_id"), facts=facts,
        ks=ks, resamples=50, seed=1, stages=stages, differences=[("final", "popular")],
    )  # fmt: skip
    assert rows_of(again) == rows_of(frame)


def test_parts_of_the_truth_have_their_own_figures(spark: SparkSession) -> None:
    """The list of u1 finds the head item a first and the tail item b third; u2 has truth in the tail alone."""
    entries = [("final", "u1", 1, "a"), ("final", "u1", 2, "x"), ("final", "u1", 3, "b"), ("final", "u2", 1, "e")]
    lists = spark.createDataFrame(entries, "stage string, user_id string, rank int, item_id string")
    relevant = spark.createDataFrame(
        [("u1", "a", 1), ("u1", "b", 2), ("u1", "c", 2), ("u2", "e", 6)], "user_id string, item_id string, parts int"
    )
    population = spark.createDataFrame(
        [("u1", 3, [1, 2, 0], ["all"]), ("u2", 1, [0, 1, 1], ["all"])],
        "user_id string, n_relevant int, n_parts array<int>, slices array<string>",
    )
    facts = spark.createDataFrame([], "item_id string, category string, information double, in_catalog boolean")
    frame = evaluate.figures(
        lists, relevant=relevant, population=population, facts=facts, ks=(3,), resamples=5, seed=1,
        stages=["final"], differences=[], parts=truth.PARTS,
    )  # fmt: skip
    recall = {row["slice"]: (row["value"], row["n"]) for row in frame.where("metric = 'recall'").collect()}
    assert recall == {
        "all": (pytest.approx((2 / 3 + 1) / 2), 2),
        "items:head": (1.0, 1),
        "items:tail": (pytest.approx((1 / 2 + 1) / 2), 2),
        "items:new": (1.0, 1),
    }
    first = {row["slice"]: row["value"] for row in frame.where("metric = 'mrr'").collect()}
    assert first["items:tail"] == pytest.approx((1 / 3 + 1) / 2)


def test_coverage_counts_catalog_items_in_judged_lists(spark: SparkSession) -> None:
    entries = [(s, u, n, i) for s, u, items in LISTS for n, i in enumerate(items, start=1) if i]
    lists = spark.createDataFrame(entries, "stage string, user_id string, rank int, item_id string")
    population = spark.createDataFrame([("u1",), ("u2",), ("u3",)], "user_id string")
    facts = spark.createDataFrame(
        [(i, *f) for i, f in FACTS.items()], "item_id string, category string, information double, in_catalog boolean"
    )
    found = {
        (r["stage"], r["k"]): r["value"]
        for r in coverage(lists, population=population, facts=facts, ks=(1, 4)).collect()
    }
    # Catalog: a, b, c, e. Final: c and a at 1, then a, b, c (d is not in the catalog).
    assert found["final", 1] == 2 / 4 and found["final", 4] == 3 / 4
    assert found["popular", 1] == 2 / 4 and found["popular", 4] == 4 / 4


def test_judged_lists_take_every_stage(spark: SparkSession) -> None:
    candidates = spark.createDataFrame(
        [("u", "a", 1, {"als": 2, "popular": 1}), ("u", "b", 2, {"als": 1, "neighbors": 3})],
        "user_id string, item_id string, rank int, ranks map<string,int>",
    )
    ranked = spark.createDataFrame(
        [("u", "b", 1, {"ranker_rank": 2.0}), ("u", "a", 2, {"ranker_rank": 1.0})],
        "user_id string, item_id string, rank int, score_parts map<string,double>",
    )
    final = ranked.where("rank = 1").select("user_id", "item_id", "rank")
    baseline = spark.createDataFrame([("u", "z", 1), ("u", "a", 9)], "user_id string, item_id string, rank int")
    lists = truth.judged_lists(
        candidates=candidates, ranked=ranked, recommendations=final, baselines={"popular": baseline}, depth=5
    )
    assert rows_of(lists) == {
        ("als", "u", 2, "a"), ("als", "u", 1, "b"), ("neighbors", "u", 3, "b"), ("popular", "u", 1, "z"),
        ("candidates", "u", 1, "a"), ("candidates", "u", 2, "b"),
        ("ranker", "u", 2, "b"), ("ranker", "u", 1, "a"), ("final", "u", 1, "b"),
    }  # fmt: skip
