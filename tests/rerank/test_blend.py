"""The blend on Spark rows, and which ranker is taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.rerank.blend import fit_blend
from recsys.rerank.diversity import Rules, allowed, rerank
from recsys.rerank.lists import at_first_position, blend_of, newest_model

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
EXAMPLES = (
    "list_id string, item_id string, label double, sample_rate double, logit double, "
    "candidate_rank double, position int"
)


def test_the_better_order_wins(spark: SparkSession) -> None:
    rows = [
        (f"l{n:02d}", f"i{place}", float(place == n % 9), 1.0, float(place == n % 9) + place / 100, 1.0 + place, None)
        for n in range(40)
        for place in range(10)
    ]
    examples = spark.createDataFrame(rows, EXAMPLES).repartition(3)
    found = fit_blend(examples, k=5, configured=1.0)
    # Up to one half the perfect ranker decides alone; of equal figures the one nearest to the configured weight stays.
    assert found.retrieval_weight == 0.5 and "40 validation lists" in found.why
    assert fit_blend(examples.repartition(2), k=5, configured=1.0) == found
    without = fit_blend(examples.withColumn("candidate_rank", F.lit(None).cast("double")), k=5, configured=0.4)
    assert without.retrieval_weight == 0.4 and "0 validation lists" in without.why
    assert {row["position"] for row in at_first_position(examples).collect()} == {1}
    assert blend_of(examples, bundle=None, batch_size=1, k=5, configured=0.4, fit=True).retrieval_weight == 1.0


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
