"""Fold-in: the half-step of training, for users and items that the fit did not have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import Row as SparkRow
from pyspark.sql import functions as F

from recsys.data.log import Log
from recsys.errors import DataError
from recsys.retrieval.als.factorizing import factorized, ordered
from recsys.retrieval.als.folding import Equations, folded_in
from recsys.retrieval.als.retriever import Als, AlsModel
from recsys.retrieval.als.sizing import Fit
from recsys.retrieval.training import TrainingData
from tests.retrieval.shop import AS_OF, SIGNAL, Row, events_of, log_of, made_up

pytestmark = pytest.mark.spark

NO_LIMIT, NEXT_TO_NOTHING = 256, 1e-5
THIN = Row("thin", "i003", "purchase")
LATER = [
    Row("u000", "i005", "purchase", -3),
    Row("newcomer", "i001", "view", -2),
    Row("newcomer", "i002", "view", -2),
    *(Row(user, "brand_new", "purchase", -4) for user in ("u000", "newcomer")),
    Row("newcomer", "lonely", "view", -4),
]
"""What happens in the four hours after AS_OF."""
NOW = AS_OF + timedelta(hours=5)
SETTINGS: dict[str, Any] = {"rank": 4, "iterations": 2, "reg": 0.05, "alpha": 2.0}


def half_step(vectors: np.ndarray, weight: np.ndarray, *, reg: float, alpha: float, implicit: bool) -> np.ndarray:
    """The textbook's matrices in full: `weight` has a column for each vector, NaN where there is no pair."""
    there = ~np.isnan(weight)
    given = np.where(there, weight, 0.0)
    preference = (given > 0).astype(float) if implicit else given
    confidence = np.diag(1.0 + alpha * np.abs(given)) if implicit else np.diag(there.astype(float))
    n = np.count_nonzero(given > 0) if implicit else np.count_nonzero(there)
    left = vectors.T @ confidence @ vectors + reg * n * np.eye(vectors.shape[1])
    return np.linalg.inv(left) @ vectors.T @ confidence @ preference


@pytest.mark.parametrize("implicit", [True, False])
def test_a_user_is_solved_as_the_textbook_says(implicit: bool) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(12, 4)).astype(np.float32)
    weight = np.full(12, np.nan)
    weight[[1, 4, 5, 9]] = (2.0, -1.0, 0.0, 3.5)
    wide = vectors.astype(np.float64)
    there = np.flatnonzero(~np.isnan(weight))
    found = Equations(0.3, 2.5, wide.T @ wide if implicit else None).solved(vectors[there], weight[there])
    np.testing.assert_allclose(found, half_step(wide, weight, reg=0.3, alpha=2.5, implicit=implicit), rtol=1e-6)


def test_without_regularization_it_is_the_shortest_of_all_solutions() -> None:
    """3 = x . (1, 2, 0) has a plane of solutions; the shortest points along the vector: 3 / 5 of it."""
    one = np.array([[1.0, 2.0, 0.0]], np.float32)
    np.testing.assert_allclose(Equations(0.0, 0.0, None).solved(one, np.array([3.0])), [0.6, 1.2, 0.0], atol=1e-6)


def test_whoever_likes_nothing_has_no_taste() -> None:
    one, gram = np.ones((1, 2), np.float32), np.ones((2, 2))
    assert Equations(0.1, 1.0, gram).solved(one, np.array([-2.0])).tolist() == [0.0, 0.0]


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> Log:
    return log_of(spark, [*made_up(), THIN])


@pytest.fixture(scope="module")
def model(log: Log) -> AlsModel:
    return Als(**SETTINGS).fit(log, signal=SIGNAL)


def vectors_of(rows: list[SparkRow]) -> dict[str, np.ndarray]:
    return {row["user_id"] if "user_id" in row else row["item_id"]: np.array(row["factors"]) for row in rows}


def weights(log: Log) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """The sum of the weights by user and item, and by item and user."""
    users: dict[str, dict[str, float]] = {}
    items: dict[str, dict[str, float]] = {}
    for row in TrainingData(log, SIGNAL, None, NO_LIMIT).interactions.collect():
        users.setdefault(row["user_id"], {})[row["item_id"]] = row["weight"]
        items.setdefault(row["item_id"], {})[row["user_id"]] = row["weight"]
    return users, items


def expected(pairs: dict[str, float], vectors: dict[str, np.ndarray]) -> np.ndarray:
    names = sorted(vectors)
    weight = np.array([pairs.get(name, np.nan) for name in names])
    return half_step(np.stack([vectors[name] for name in names]), weight, reg=0.05, alpha=2.0, implicit=True)


@pytest.mark.parametrize("limit", [NO_LIMIT, NEXT_TO_NOTHING])
def test_a_user_of_the_fit_gets_the_same_factors_again(log: Log, model: AlsModel, limit: float) -> None:
    """MLlib solves users last, so one more half-step changes nothing; by either way to the items' factors."""
    pairs = model.settings.pairs(TrainingData(log, SIGNAL, None, NO_LIMIT))
    pairs = pairs.select(F.col("user_idx").alias("idx"), F.col("item_idx").alias("other"), "weight")
    given = {"reg": 0.05, "alpha": 2.0, "implicit": True, "broadcast_limit_mb": limit}
    assert_equal(folded_in(pairs, model.frames["item_factors"], **given), model.frames["user_factors"], users=41)


def test_ratings_too(spark: SparkSession) -> None:
    rows = [(u, i, float((u * i) % 5 + 1)) for u in range(5) for i in range(4) if (u + i) % 3]
    pairs = spark.createDataFrame(rows, "user_idx int, item_idx int, weight float").coalesce(1)
    fit = Fit(rank=2, iterations=2, reg=0.1, alpha=0.0)
    ready = ordered(pairs, blocks=1, least=2)
    fitted = factorized(ready, fit, implicit=False, blocks=1, seed=1, key="als")
    users, items = (side.toDF("idx", "factors") for side in (fitted.userFactors, fitted.itemFactors))
    assert_equal(
        folded_in(pairs.toDF("idx", "other", "weight"), items, reg=0.1, alpha=0, implicit=False), users, users=5
    )


def assert_equal(found: DataFrame, fitted: DataFrame, *, users: int) -> None:
    """To the accuracy of float32."""
    mine, theirs = ({row["idx"]: row["factors"] for row in frame.collect()} for frame in (found, fitted))
    assert set(mine) == set(theirs) and len(mine) == users
    for user, vector in theirs.items():
        np.testing.assert_allclose(mine[user], vector, rtol=1e-4, atol=1e-6)


def test_users_with_too_few_items_for_the_fit_are_folded_in(log: Log, model: AlsModel) -> None:
    found = vectors_of(model.frames["user_factors"].collect())
    assert model.metrics["users"] == 40 and len(found) == 41
    want = expected({"i003": 5.0}, vectors_of(model.frames["item_factors"].collect()))
    np.testing.assert_allclose(found["thin"], want, rtol=1e-5)


def test_what_came_after_the_fit_is_taken_in(spark: SparkSession, log: Log, model: AlsModel) -> None:
    """The log carries an index of its own, and the model's numbers still hold."""
    later = replace(log_of(spark, [*made_up(), THIN, *LATER]), as_of=NOW)
    folded = model.folded(later, signal=SIGNAL, since=AS_OF)
    frames = {name: frame.collect() for name, frame in folded.frames.items()}
    for rows in frames.values():
        assert len({row["idx"] for row in rows}) == len(rows)
    users, items = vectors_of(frames["user_factors"]), vectors_of(frames["item_factors"])
    before, old = (vectors_of(model.frames[name].collect()) for name in ("user_factors", "item_factors"))
    by_user, by_item = weights(later)
    assert set(users) - set(before) == {"newcomer"}
    assert {user for user in before if (users[user] != before[user]).any()} == {"u000"}
    for user in ("u000", "newcomer"):
        np.testing.assert_allclose(users[user], expected(by_user[user], old), rtol=1e-5)
    assert set(items) - set(old) == {"brand_new"}, "one user is too few for an item"
    assert all((items[item] == old[item]).all() for item in old)
    np.testing.assert_allclose(items["brand_new"], expected(by_item["brand_new"], users), rtol=1e-5)


def test_a_model_that_does_not_know_its_settings_says_so(spark: SparkSession, log: Log, model: AlsModel) -> None:
    bare = replace(model, settings=Als(), metrics={})
    with pytest.raises(DataError, match="does not say which reg it was fitted with"):
        bare.folded(replace(log, events=events_of(spark, [])))
