"""What each retriever contributes, on literal candidates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from recsys.data import SOURCE_OVERLAP
from recsys.evaluation.sources import source_overlap

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 3, 8, tzinfo=UTC)
CANDIDATES = [
    ("ann", "a", ["als", "near"]),
    ("ann", "b", ["als"]),
    ("ann", "c", ["near"]),
    ("bob", "a", ["near"]),
    ("bob", "b", ["als", "near"]),
    ("away", "a", ["als"]),
]
RELEVANT = [("ann", "a"), ("ann", "c"), ("ann", "z"), ("bob", "b"), ("away", "a")]


def test_hits_alone_and_together(spark: SparkSession) -> None:
    found = source_overlap(
        spark.createDataFrame(CANDIDATES, "user_id string, item_id string, sources array<string>"),
        relevant=spark.createDataFrame(RELEVANT, "user_id string, item_id string"),
        population=spark.createDataFrame([("ann",), ("bob",)], "user_id string"),
        names=("near", "als"),
        as_of=AS_OF,
    )
    assert found.columns == list(SOURCE_OVERLAP.column_names)
    rows = {(row["source"], row["other"]): tuple(row)[4:] for row in found.collect()}
    assert rows == {
        ("candidates", "candidates"): (5, 3, 3, 4),
        ("als", "als"): (3, 2, 0, 4),
        ("near", "near"): (4, 3, 1, 4),
        ("als", "near"): (2, 2, None, 4),
        ("near", "als"): (2, 2, None, 4),
    }
