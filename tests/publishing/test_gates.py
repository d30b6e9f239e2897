"""Every gate shut by one planted row, and open without it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys.errors import DataError
from recsys.publishing import gates as publishing
from tests.support.queries import counting_jobs

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
GOOD = [("u", 1, "a", 0.9, 0.5), ("u", 2, "b", 0.8, 0.4), ("v", 1, "b", 0.7, None)]
NAN, INF = float("nan"), float("inf")


def measured(spark: SparkSession, rows: list[tuple[Any, ...]], **given: Any) -> dict[str, publishing.GateResult]:
    lists = spark.createDataFrame(rows, "user_id string, rank int, item_id string, score double, prediction double")
    items = spark.createDataFrame(
        [("a", "x/y", True), ("b", "x", True), ("c", None, False)], "item_id string, category string, available boolean"
    )
    settings: dict[str, Any] = {
        "candidates": spark.createDataFrame([("u",), ("u",), ("v",)], "user_id string"),
        "items": items,
        "seen": spark.createDataFrame([("v", "a")], "user_id string, item_id string"),
        "min_users_share": 0.9,
        "min_list_length": 1,
        "exclude_unavailable": True,
        **given,
    }
    frame = publishing.gates(lists, **settings)
    return {row["gate"]: publishing.GateResult(**row.asDict()) for row in frame.collect()}


def shut(results: dict[str, publishing.GateResult]) -> dict[str, float]:
    return {gate: result.found for gate, result in results.items() if not result.holds}


def test_good_lists_pass(spark: SparkSession) -> None:
    results = measured(spark, GOOD, blocked_items=["z"], blocked_categories=["q"])
    assert set(results) == set(publishing.WAY_OUT) and shut(results) == {}


@pytest.mark.parametrize(
    ("rows", "given", "expected"),
    [
        (GOOD[:2], {}, {"users_with_list": 0.5}),
        ([], {}, {"users_with_list": 0.0}),
        (GOOD, {"min_list_length": 2}, {"list_length": 1.0}),
        ([*GOOD, ("v", 3, "d", 0.1, 0.1)], {}, {"dense_ranks": 1.0}),
        ([*GOOD, ("v", 1, "d", 0.1, 0.1)], {}, {"dense_ranks": 1.0}),
        ([*GOOD, ("u", 3, "a", 0.1, 0.1)], {}, {"duplicate_items": 1.0}),
        (
            [*GOOD, ("u", 3, "d", NAN, 0.1), ("u", 4, "e", INF, 0.1), ("u", 5, "f", 0.1, NAN)],
            {},
            {"finite_scores": 3.0},
        ),
        ([*GOOD, ("u", 3, "c", 0.1, 0.1)], {}, {"unavailable_items": 1.0}),
        ([*GOOD, ("v", 2, "a", 0.1, 0.1)], {}, {"seen_items": 1.0}),
        (GOOD, {"blocked_items": ["b"]}, {"blocked_items": 2.0}),
        (GOOD, {"blocked_categories": ["x"]}, {"blocked_items": 3.0}),
    ],
)
def test_each_gate(spark: SparkSession, rows: list[Any], given: dict[str, Any], expected: dict[str, float]) -> None:
    assert shut(measured(spark, rows, **given)) == expected


def test_gates_that_do_not_apply(spark: SparkSession) -> None:
    rows = [*GOOD, ("u", 3, "c", 0.1, 0.1), ("v", 2, "a", 0.1, 0.1)]
    results = measured(spark, rows, seen=None, exclude_unavailable=False)
    assert shut(results) == {} and "seen_items" not in results and "unavailable_items" not in results


def test_shut_gates_are_named_with_the_way_out(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [
            ("users_with_list", 0.5, 0.9, "of the users with candidates have a list"),
            ("seen_items", 2.0, 0.0, "rows are seen"),
        ],
        "gate string, found double, allowed double, unit string",
    )
    with pytest.raises(DataError) as caught:
        publishing.require(frame, as_of=AS_OF)
    text = str(caught.value)
    assert "nothing was published for 2020-01-10" in text
    assert "users_with_list: 0.5" in text and "at least 0.9" in text and "publish.min_users_share" in text
    assert "seen_items: 2 rows are seen, at most 0" in text


def test_all_gates_are_measured_in_one_pass(spark: SparkSession) -> None:
    with counting_jobs(spark) as jobs:
        assert shut(measured(spark, GOOD, blocked_items=["z"], blocked_categories=["q"])) == {}
    assert jobs.count <= 8
