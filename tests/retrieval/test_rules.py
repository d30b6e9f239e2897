"""Association rules: an oracle that counts every set of every basket, and what users get of the rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.errors import ConfigError, NothingToDo
from recsys.retrieval.audience import Audience
from recsys.retrieval.rules.mining import Basket, Baskets, measured, rules, touches
from recsys.retrieval.rules.retriever import Rules, RulesModel
from tests.retrieval.shop import AS_OF, SIGNAL, Row, events_of, index, log_of, table

Found = dict[tuple[tuple[str, ...], str], tuple[float, float, float, int]]
DAY = 24.0


def oracle(baskets: list[set[str]], least: int, confidence: float) -> Found:
    """Support, confidence, lift and n of every rule, by what it starts from and leads to."""
    counts: Counter[tuple[str, ...]] = Counter()
    for basket in baskets:
        counts.update(one for size in (1, 2, 3) for one in combinations(sorted(basket), size))
    found: Found = {}
    for whole, n in counts.items():
        for to in whole if len(whole) > 1 and n >= least else ():
            of = tuple(item for item in whole if item != to)
            sure = n / counts[of]
            lift = sure * len(baskets) / counts[to,]
            if sure >= confidence and lift > 1:
                found[of, to] = (n / len(baskets), sure, lift, n)
    return found


def mined(frame: DataFrame) -> Found:
    return {
        (tuple(item for item in (r["antecedent_id"], r["antecedent_2_id"]) if item is not None), r["consequent_id"]): (
            r["support"],
            r["confidence"],
            r["lift"],
            r["n"],
        )
        for r in frame.collect()
    }


@pytest.mark.spark
def test_rules_are_those_of_the_oracle(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    taste = [["a", "b", "c", "d"], ["c", "e", "f"]]
    baskets = [{str(item) for item in random.choice(taste[n % 2], random.integers(1, 6))} for n in range(40)]
    data = [(f"b{n}", item) for n, basket in enumerate(baskets) for item in sorted(basket)]
    touched = spark.createDataFrame(data, "basket string, item_id string").repartition(3)
    known = measured(touched, min_support=0.1, most=20)
    assert known == Baskets(baskets=40, least=4, filled=40, entries=len(data), cut=0)
    expected = oracle(baskets, least=4, confidence=0.5)
    assert {len(of) for of, _ in expected} == {1, 2}, "or else the oracle proves less"
    found = rules(touched, known, min_confidence=0.5, most=20, keep=999).localCheckpoint()
    assert {rule: pytest.approx(values) for rule, values in mined(found).items()} == expected
    ranks: dict[str, list[float]] = {}
    for row in sorted(found.collect(), key=lambda row: row["rank"]):
        ranks.setdefault(row["antecedent_id"], []).append(row["confidence"] * row["lift"])
        assert row["rank"] == len(ranks[row["antecedent_id"]])
    assert all(scores == sorted(scores, reverse=True) for scores in ranks.values())


@pytest.mark.spark
def test_long_baskets_are_cut_and_rare_items_dropped(spark: SparkSession) -> None:
    data = [(f"b{n}", item) for n in range(6) for item in ("a", "b", *(["c"] if n < 3 else []))]
    data += [(f"s{n}", "d") for n in range(6)] + [("b0", "once"), ("z", "alone")]
    touched = spark.createDataFrame(data, "basket string, item_id string")
    known = measured(touched, min_support=3, most=2)
    assert known == Baskets(baskets=13, least=3, filled=12, entries=21, cut=3), "one item of each basket with three"
    assert measured(touched, min_support=0.1, most=2).least == 2, "a tenth of 13 baskets, rounded up"


@pytest.mark.spark
@pytest.mark.parametrize(
    ("basket", "expected"),
    [("user", ["abcd", "c"]), ("day", ["ab", "c", "cd"]), ("session", ["a", "b", "c", "cd"])],
)
def test_what_a_basket_is(spark: SparkSession, basket: Basket, expected: list[str]) -> None:
    rows = [
        Row("u", "a", hours=2 * DAY), Row("u", "a", hours=2 * DAY - 1), Row("u", "b", hours=2 * DAY - 2),
        Row("u", "c", hours=1 * DAY), Row("u", "d", hours=0.5),
        Row("v", "c", hours=1 * DAY),
        Row("bot", "a", bot=True), Row("u", "later", hours=0), Row("u", "old", hours=40 * DAY),
    ]  # fmt: skip
    sessions = F.when(F.col("item_id") == "a", "1").when(
        (F.col("user_id") == "u") & F.col("item_id").isin("c", "d"), "2"
    )
    events = events_of(spark, rows).withColumn("session_id", sessions)
    found = touches(events, as_of=AS_OF, counts=F.lit(True), basket=basket, window_days=30)
    lists = found.groupBy("basket").agg(F.array_sort(F.collect_list("item_id")).alias("items")).collect()
    assert sorted("".join(row["items"]) for row in lists) == expected


def model_of(spark: SparkSession) -> RulesModel:
    data = [
        ("a", None, "x", 0.5, 2.0), ("b", None, "x", 0.25, 4.0), ("a", "b", "y", 0.9, 3.0), ("a", "c", "y", 1.0, 9.0),
        ("b", None, "y", 0.1, 2.0), ("c", None, "z", 0.5, 2.0),
    ]  # fmt: skip
    frame = spark.createDataFrame(
        data, "antecedent_id string, antecedent_2_id string, consequent_id string, confidence double, lift double"
    )
    histories = events_of(spark, [Row("u", "b", hours=1), Row("u", "a", hours=2), Row("v", "c")]).select(
        "user_id",
        "item_id",
        F.lit(1.0).alias("weight"),
        F.col("event_time").alias("last_time"),
        F.lit(False).alias("seen"),
    )
    people = spark.createDataFrame([("u", None), ("v", None), ("w", None)], "user_id string, segment string")
    audience = Audience(people, histories, index(spark, "item", list("abcxyz")))
    return RulesModel(Rules(), {"rules": frame}, audience)


@pytest.mark.spark
def test_the_best_rule_counts_that_the_past_fulfils(spark: SparkSession) -> None:
    model = model_of(spark)
    rows = model.lists(model.known_audience().people, k=5).collect()
    assert {(r["user_id"], r["item_id"]): (r["rank"], r["score"], r["because_item_id"]) for r in rows} == {
        # Two rules with the score 1 lead to x: b was touched after a.
        ("u", "x"): (2, 1.0, "b"),
        ("u", "y"): (1, 0.9 * 3.0, "b"),
        ("v", "z"): (1, 1.0, "c"),
    }


@pytest.mark.spark
def test_no_rule_and_no_basket_say_so(spark: SparkSession) -> None:
    rows = [Row("u", "a"), Row("u", "b"), Row("v", "a"), Row("v", "b")]
    with pytest.raises(NothingToDo, match=r"rules: no rule holds in 2 of 2 baskets with a confidence of 0.05; lower"):
        Rules().fit(log_of(spark, rows), signal=SIGNAL)
    with pytest.raises(NothingToDo, match="no rule holds in 2 of 0 baskets"):
        Rules(event_types=["cart"]).fit(log_of(spark, rows), signal=SIGNAL)


@pytest.mark.spark
def test_the_reason_names_the_item_and_how_it_was_chosen(spark: SparkSession) -> None:
    lists = spark.createDataFrame(
        [("a", "Milk", 0), ("b", None, None)], "because_item_id string, because_title string, strongest int"
    )

    def said(**settings: Any) -> list[tuple[Any, ...]]:
        rows, cases = replace(model_of(spark), settings=Rules(**settings)).explain(lists)
        return table(rows.select(F.when(cases[0].when, cases[0].sentence)))

    assert said() == [("Often chosen together with Milk",), (None,)]
    assert said(event_types=["purchase"]) == [("Often bought together with Milk",), (None,)]


@pytest.mark.fast
def test_settings() -> None:
    with pytest.raises(ConfigError, match="max_basket"):
        Rules(max_basket=1)
    with pytest.raises(ConfigError, match="basket"):
        Rules(basket="week")  # type: ignore[arg-type]
