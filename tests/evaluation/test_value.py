"""The true value of lists and regret, on values that are written down."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from recsys.evaluation.value import value_figures

pytestmark = [pytest.mark.fast, pytest.mark.spark]


def test_value_and_regret_by_hand(spark: SparkSession) -> None:
    """u's best two candidates are worth .65, v's only one .5; w has a list and no candidates; x's are not known."""
    lists = spark.createDataFrame(
        [
            ("final", "u", 1, 0.5), ("final", "u", 2, 0.25), ("final", "u", 3, 1.0), ("final", "v", 1, 0.5),
            ("popular", "u", 1, 0.75), ("final", "w", 1, 0.9), ("final", "x", 1, None), ("other", "u", 1, 1.0),
        ],
        "stage string, user_id string, rank int, p double",
    )  # fmt: skip
    candidates = spark.createDataFrame(
        [("u", 0.5), ("u", 0.8), ("u", 0.25), ("u", None), ("v", 0.5), ("x", 0.1)], "user_id string, p double"
    )
    frame = value_figures(
        lists,
        candidates=candidates,
        k=2,
        stages=["final", "popular"],
        differences=[("final", "popular")],
        resamples=20,
    )
    found = {(row["stage"], row["metric"]): (row["value"], row["n"]) for row in frame.collect()}
    assert found["final", "truep"] == (pytest.approx((0.375 + 0.5) / 2), 2)
    assert found["final", "regret"] == (pytest.approx((0.65 - 0.375 + 0) / 2, abs=1e-8), 2)
    assert found["popular", "truep"] == (0.75, 1)
    assert found["popular", "regret"] == (pytest.approx(0.65 - 0.75, abs=1e-8), 1)
    assert found["final-popular", "truep"] == (pytest.approx((0.375 + 0.5) / 2 - 0.75), 1)
