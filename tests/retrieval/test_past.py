"""What retrievers say of a pair comes from the newest fit that is not later than the pair."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest
from pyspark.sql import SparkSession

import recsys
from recsys.data import RetrieverFeature
from recsys.retrieval.past import with_features_of, with_past_features

pytestmark = pytest.mark.spark

FIRST, SECOND = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 8, tzinfo=UTC)
OFFERED = [
    RetrieverFeature("popular", "score", "Score"),
    RetrieverFeature("popular", "rank", "Rank"),
    RetrieverFeature("gone", "score", "Of a retriever that has learned nothing"),
]
PAIRS = [
    ("u1", "a", datetime(2024, 2, 29, 23, tzinfo=UTC), "before the first fit"),
    ("u1", "a", FIRST, "at the first fit"),
    ("u1", "a", datetime(2024, 3, 7, 23, tzinfo=UTC), "between"),
    ("u1", "a", SECOND, "at the second fit"),
]


def popular(clicks: int) -> object:
    """Popularity at an instant: so many users had clicked `a`."""
    users = [f"u{n}" for n in range(clicks)]
    log = pd.DataFrame({"user": users, "item": "a", "at": pd.Timestamp("2024-02-28")})
    return recsys.Popular().fit(recsys.Log.from_frame(log, user="user", item="item", time="at"))


def test_a_pair_meets_the_newest_fit_that_is_not_later(spark: SparkSession) -> None:
    pairs = spark.createDataFrame(PAIRS, "user_id string, item_id string, example_time timestamp, which string")
    fits = {FIRST: [popular(2)], SECOND: [popular(5)]}
    found = with_past_features(pairs, fits, OFFERED)  # type: ignore[arg-type]
    rows = {row["which"]: (row["popular_score"], row["gone_score"]) for row in found.collect()}
    assert rows == {
        "before the first fit": (None, None),
        "at the first fit": (2.0, None),
        "between": (2.0, None),
        "at the second fit": (5.0, None),
    }
    assert "popular_rank" not in found.columns, "ranks come with the candidates"


def test_without_any_fit_all_is_null(spark: SparkSession) -> None:
    pairs = spark.createDataFrame(PAIRS[:1], "user_id string, item_id string, example_time timestamp, which string")
    for found in (with_past_features(pairs, {FIRST: []}, OFFERED), with_features_of((), OFFERED)(pairs)):
        row = found.first()
        assert row is not None and row["popular_score"] is None and row["gone_score"] is None
