"""Figures over several instants, against sums and weights written out in numpy."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.evaluation.bootstrap import poisson_weights
from recsys.evaluation.evaluate import figure_sums
from recsys.evaluation.pooled import backtest_rows, compared, figures_over, members
from recsys.evaluation.stages import Stages
from recsys.evaluation.truth import PARTS

pytestmark = [pytest.mark.fast, pytest.mark.spark]

STAGES = Stages(("als", "popular"), "popular", ranked=False)
RESAMPLES = 200
AS_OF = datetime(2020, 1, 10, tzinfo=UTC)


def sums(spark: SparkSession, hits: dict[str, dict[str, int]]) -> DataFrame:
    """Sums of an instant: by stage and user, at which rank the one relevant item of the user stands (0: nowhere)."""
    lists = [(stage, user, rank, "hit") for stage, users in hits.items() for user, rank in users.items() if rank]
    users = sorted({user for found in hits.values() for user in found})
    return figure_sums(
        spark.createDataFrame(lists, "stage string, user_id string, rank int, item_id string"),
        relevant=spark.createDataFrame([(user, "hit") for user in users], "user_id string, item_id string"),
        population=spark.createDataFrame(
            [(user, 1, ["all"]) for user in users], "user_id string, n_relevant int, slices array<string>"
        ),
        facts=spark.createDataFrame(
            [("hit", "x", 1.0, True)], "item_id string, category string, information double, in_catalog boolean"
        ),
        ks=(5,),
        resamples=RESAMPLES,
        seed=3,
        stages=STAGES.names,
    )


def test_users_are_resampled_with_all_their_instants(spark: SparkSession) -> None:
    """Half of the users are there twice, some with a list of one stage alone."""
    rng = np.random.default_rng(4)
    days = [
        {stage: {f"u{n}": int(rng.integers(0, 6)) for n in who} for stage in ("final", "popular")}
        for who in (range(40), range(20, 60))
    ]
    frame = figures_over(
        [sums(spark, day) for day in days], [], stages=STAGES, ks=(5,), resamples=RESAMPLES, corrected=False
    )
    found = {row["stage"]: row for row in frame.where("metric = 'mrr'").collect()}
    ids = [f"u{n}" for n in range(60)]
    hashed = spark.createDataFrame([(user,) for user in ids], "user_id string").select(F.xxhash64("user_id").alias("h"))
    weights = poisson_weights(np.array([row["h"] for row in hashed.collect()]), RESAMPLES, 3)
    count = np.array([sum(user in day["final"] for day in days) for user in ids])
    drawn = {}
    for stage in ("final", "popular"):
        total = np.array([sum(1 / day[stage][user] for day in days if day[stage].get(user)) for user in ids])
        drawn[stage] = weights @ total / (weights @ count)
    drawn["final-popular"] = drawn["final"] - drawn["popular"]
    for stage, values in drawn.items():
        low, high = np.percentile(values[1:], (2.5, 97.5))
        row = found[stage]
        assert row["value"] == pytest.approx(values[0], abs=1e-8)
        assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low, abs=1e-8), pytest.approx(high, abs=1e-8))
        assert row["n"] == 80


def test_the_final_list_is_compared_with_every_retriever() -> None:
    assert [pair for pair in compared(STAGES) if pair[0] == "final"] == [
        ("final", "popular"),
        ("final", "candidates"),
        ("final", "als"),
    ]


def test_users_of_a_slice_are_counted_once(spark: SparkSession) -> None:
    population = spark.createDataFrame(
        [("u", ["all", "known"], [1, 0, 0]), ("v", ["all"], [0, 2, 1])],
        "user_id string, slices array<string>, n_parts array<int>",
    )
    assert {tuple(row) for row in members(population).collect()} == {
        ("u", "all"), ("u", "known"), ("u", PARTS[0]), ("v", "all"), ("v", PARTS[1]), ("v", PARTS[2]),
    }  # fmt: skip


def test_rows_say_whether_they_are_pooled(spark: SparkSession) -> None:
    figures = spark.createDataFrame(
        [("final", "all", "ndcg", 5, 0.5, 0.4, 0.6, 80), ("final", "all", "snips_ctr", 5, 0.5, 0.4, 0.6, 70)],
        "stage string, slice string, metric string, k int, value double, ci_low double, ci_high double, n bigint",
    )
    distinct = spark.createDataFrame([("all", 60)], "slice string, users bigint")
    pooled = backtest_rows(figures, backtest="b", as_of=None, distinct=distinct).collect()
    assert [(row["as_of"], row["instant"], row["n"], row["users"]) for row in pooled] == [
        (None, "pooled", 80, 60),
        (None, "pooled", 70, None),
    ]
    one = backtest_rows(figures, backtest="b", as_of=AS_OF, distinct=None).collect()
    assert {(row["instant"], row["n"] - row["users"]) for row in one} == {("20200110T000000Z", 0)}
