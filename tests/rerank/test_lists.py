"""What the score is made of, and which ranker is taken."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from recsys.ctr.heads import Choice, Heads
from recsys.rerank.diversity import Rules, allowed, rerank
from recsys.rerank.lists import at_first_position, newest_model, retrieval_weight_of, score_of

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)


def heads(*names: str, used: bool = True, **weights: float) -> Heads:
    return Heads(dict.fromkeys(names), Choice(weights, used, "tried"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranker", "weight", "says"),
    [
        (None, 1.0, "there is no ranker"),
        (heads("engage", engage=1.0, used=False), 1.0, "the ranker is tried"),
        (heads("engage", "click", engage=1.0, click=0.5), 0.0, r"score engage \^ 1, click \^ 0.5; tried"),
        (heads("click", click=1.0), 0.6, "learned from shown lists alone"),
    ],
)
def test_how_much_the_order_of_retrieval_counts(ranker: Heads | None, weight: float, says: str) -> None:
    found = retrieval_weight_of(ranker, configured=0.6)
    assert found[0] == weight and re.search(says, found[1])


def test_the_score_is_the_product_of_weighted_probabilities(spark: SparkSession) -> None:
    rows = [(0.2, 0.5, 0.9), (0.2, 0.0, 0.1)]
    frame = spark.createDataFrame(rows, "p_engage double, p_click double, p_cart double")
    ranker = heads("engage", "click", "cart", engage=1.0, click=0.5, cart=0.0)
    found = [row[0] for row in frame.select(score_of(ranker)).collect()]
    assert found == pytest.approx([math.log(0.2 * 0.5**0.5), math.log(0.2 * 1e-9**0.5)], abs=1e-8)


def test_every_candidate_is_scored_at_position_one(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(7,), (None,)], "position int")
    assert {row["position"] for row in at_first_position(frame).collect()} == {1}


def test_the_newest_ranker_that_knows_nothing_of_the_future(spark: SparkSession) -> None:
    rows = [
        ("old", "ctr", AS_OF - timedelta(days=7), AS_OF),
        ("first", "ctr", AS_OF, AS_OF),
        ("again", "ctr", AS_OF, AS_OF + timedelta(hours=1)),
        ("als", "als", AS_OF, AS_OF + timedelta(hours=2)),
        ("future", "ctr", AS_OF + timedelta(microseconds=1), AS_OF),
    ]
    models = spark.createDataFrame(rows, "model_version string, kind string, as_of timestamp, created_at timestamp")
    assert newest_model(models, kind="ctr", as_of=AS_OF)["model_version"] == "again"  # type: ignore[index]
    assert newest_model(models, kind="ctr", as_of=AS_OF - timedelta(days=8)) is None


def test_lists_do_not_depend_on_partitions(spark: SparkSession) -> None:
    rows = [
        (f"u{user}", f"i{n:02d}", float(n + 1), float(n * user % 7), f"c{n % 3}", {"als": n + 1})
        for user in range(30)
        for n in range(12)
    ]
    scored = spark.createDataFrame(
        rows,
        "user_id string, item_id string, candidate_rank double, logit double, item_category string, "
        "ranks map<string,int>",
    )
    rules = Rules(k=5, retrieval_weight=0.5, diversity=0.3, max_per_category=2, reserve=5)
    once = sorted(map(str, rerank(scored, rules=rules).collect()))
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        again = sorted(map(str, rerank(scored.repartition(5), rules=rules).collect()))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert once == again and len(once) >= 150


def test_blocked_items_and_categories(spark: SparkSession) -> None:
    rows = [("a", "x"), ("b", "x/y"), ("c", "xy"), ("d", None), ("e", "z")]
    frame = spark.createDataFrame(rows, "item_id string, item_category string")
    kept = allowed(frame, blocked_items=["e"], blocked_categories=["x"])
    assert sorted(row["item_id"] for row in kept.collect()) == ["c", "d"]
