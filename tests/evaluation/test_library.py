"""The library's `evaluate`: fractions that can be worked out by hand, and one sentence where it can't be done."""

from __future__ import annotations

from math import log2
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from recsys.data.log import Log
from recsys.errors import ConfigError, DataError
from recsys.evaluation.library import evaluate

pytestmark = [pytest.mark.fast, pytest.mark.spark]

NAMES = {"user": "customer", "item": "sku", "time": "ts"}


@pytest.fixture(scope="module")
def test_log(spark: SparkSession) -> Log:
    past = [(1, "a", "2024-05-01"), (2, "b", "2024-05-01"), (2, "c", "2024-05-01"), (9, "d", "2024-05-01")]
    later = [
        (1, "b", "2024-06-01"),
        (1, "c", "2024-06-01"),
        (1, "c", "2024-06-02"),
        (2, "a", "2024-06-01"),
        (3, "a", "2024-06-01"),
    ]
    frame = spark.createDataFrame([*past, *later], "customer bigint, sku string, ts string")
    return Log.from_frame(frame, **NAMES).split(at="2024-06-01")[1]


def lists(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "item_id", "rank"])


ROWS = [(1, "x", 1), (1, "c", 2), (2, "a", 1), (2, "d", 2), (7, "a", 1)]


def test_figures_are_fractions_over_every_user_of_the_test(test_log: Log) -> None:
    """User 3 has no list and counts zero; user 7 did nothing and does not count."""
    found = evaluate(
        lists(ROWS), test_log, metrics=["recall@2", "ndcg@2", "hit_rate@1", "mrr@2", "precision@2"]
    ).collect()
    values = {(row["metric"], row["k"]): row["value"] for row in found}
    second = 1 / log2(3)
    assert values == {
        ("recall", 2): pytest.approx((1 / 2 + 1 + 0) / 3),
        ("ndcg", 2): pytest.approx((second / (1 + second) + 1 + 0) / 3),
        ("hit_rate", 1): pytest.approx(1 / 3),
        ("mrr", 2): pytest.approx((1 / 2 + 1 + 0) / 3),
        ("precision", 2): pytest.approx((1 / 2 + 1 / 2 + 0) / 3),
    }
    assert [row["metric"] for row in found] == ["recall", "ndcg", "hit_rate", "mrr", "precision"]
    assert {row["n"] for row in found} == {3}
    assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for row in found)


def test_coverage_is_a_share_of_the_items_before(test_log: Log) -> None:
    """Of a, b, c and d the lists of judged users hold a, c and d."""
    (row,) = evaluate(lists(ROWS), test_log, metrics=["coverage@2"]).collect()
    assert (row["value"], row["n"], row["ci_low"]) == (3 / 4, 4, None)


def test_a_catalog_may_be_given(test_log: Log) -> None:
    catalog = pd.DataFrame({"sku": ["a", "b", "c", "d", "e", "gone"], "available": [True] * 5 + [False]})
    (row,) = evaluate(lists(ROWS), test_log, metrics=["coverage@2"], items=catalog).collect()
    assert (row["value"], row["n"]) == (3 / 5, 5)


def test_lists_may_use_the_callers_columns(test_log: Log) -> None:
    named = lists(ROWS).rename(columns={"user_id": "customer", "item_id": "sku"})
    assert (
        evaluate(named, test_log, metrics=["recall@2"]).first()
        == evaluate(lists(ROWS), test_log, metrics=["recall@2"]).first()
    )


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("ndgc@10", "'ndgc@10' is not known; did you mean ndcg"),
        ("ndcg", "has no cut-off; write for example ndcg@10"),
        ("ndcg@0", "has no cut-off"),
        ("ndcg@²", "has no cut-off"),
    ],
)
def test_a_wrong_metric_is_refused(test_log: Log, metric: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluate(lists(ROWS), test_log, metrics=[metric])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"metrics": []}, "metrics is empty; give at least one, such as ndcg@10"),
        ({"metrics": "ndcg@10"}, r"metrics is 'ndcg@10'; give a list, such as \['ndcg@10'\]"),
        ({"metrics": ["ndcg@10", "map@5", "ndcg@10"]}, "metrics has ndcg@10 twice"),
        ({"resamples": 0}, "resamples is 0; intervals need at least 1"),
    ],
)
def test_arguments_that_give_no_figure_are_refused(test_log: Log, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluate(lists(ROWS), test_log, **arguments)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(1, "a", 1), (1, "b", 1)], "1 of the lists hold a rank twice"),
        ([(1, "a", 1), (1, "a", 2)], "1 of the lists hold an item twice"),
    ],
)
def test_broken_lists_are_refused(test_log: Log, rows: list[tuple[Any, ...]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        evaluate(lists(rows), test_log)


def test_coverage_needs_something_to_be_a_share_of(spark: SparkSession) -> None:
    alone = Log.from_frame(
        spark.createDataFrame([(1, "a", "2024-06-01")], "customer int, sku string, ts string"), **NAMES
    )
    with pytest.raises(DataError, match="coverage compares with the log before"):
        evaluate(lists([(1, "a", 1)]), alone)
    assert evaluate(lists([(1, "a", 1)]), alone, metrics=["recall@1"]).first()["value"] == 1.0  # type: ignore[index]
