"""Fold-in: the half-step of training, for users and items that the fit did not have."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.data.log import Log
from recsys.errors import DataError
from recsys.retrieval.als.folding import Equations, folded_in
from recsys.retrieval.als.retriever import Als, AlsModel
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
    return Als(rank=4, iterations=3, reg=0.05, alpha=2.0).fit(log, signal=SIGNAL)


def factors(frame: DataFrame, of: str) -> dict[str, np.ndarray]:
    return {row[of]: np.array(row["factors"]) for row in frame.collect()}


def weights(log: Log, key: str, other: str) -> dict[str, dict[str, float]]:
    """By user and item (or the other way round) the sum of the weights."""
    found: dict[str, dict[str, float]] = {}
    for row in TrainingData(log, SIGNAL, None, NO_LIMIT).interactions.collect():
        found.setdefault(row[key], {})[row[other]] = row["weight"]
    return found


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
    again = folded_in(pairs, model.frames["item_factors"], **given).join(log.user_index, on="idx")
    found, fitted = factors(again, "user_id"), factors(model.frames["user_factors"], "user_id")
    assert set(found) == set(fitted) and len(found) == 41
    for user, vector in fitted.items():
        np.testing.assert_allclose(found[user], vector, rtol=1e-4, atol=1e-6)


def test_ratings_too(spark: SparkSession) -> None:
    rows = [Row(r.user, r.item, "rating", value=float(1 + at % 5)) for at, r in enumerate(made_up(12, 10, 5))]
    log = log_of(spark, rows)
    als = Als(rank=3, iterations=4, implicit=False, reg=0.1)
    fitted = als.fit(log)
    found = factors(fitted.folded(log).frames["user_factors"], "user_id")
    for user, vector in factors(fitted.frames["user_factors"], "user_id").items():
        np.testing.assert_allclose(found[user], vector, rtol=1e-4, atol=1e-6)


def test_users_with_too_few_items_for_the_fit_are_folded_in(log: Log, model: AlsModel) -> None:
    found = factors(model.frames["user_factors"], "user_id")
    assert model.metrics["users"] == 40 and len(found) == 41
    want = expected({"i003": 5.0}, factors(model.frames["item_factors"], "item_id"))
    np.testing.assert_allclose(found["thin"], want, rtol=1e-5)
    without = Als(rank=4, iterations=1, fold_in=False).fit(log, signal=SIGNAL)
    assert "thin" not in factors(without.frames["user_factors"], "user_id")


def test_what_came_after_the_fit_is_taken_in(spark: SparkSession, log: Log, model: AlsModel) -> None:
    """The log carries an index of its own, and the model's numbers still hold."""
    later = replace(log_of(spark, [*made_up(), THIN, *LATER]), as_of=NOW)
    folded = model.folded(later, signal=SIGNAL, since=AS_OF)
    users, before = (factors(one.frames["user_factors"], "user_id") for one in (folded, model))
    items, old = (factors(one.frames["item_factors"], "item_id") for one in (folded, model))
    by_user, by_item = weights(later, "user_id", "item_id"), weights(later, "item_id", "user_id")
    assert set(users) - set(before) == {"newcomer"}
    assert {user for user in before if (users[user] != before[user]).any()} == {"u000"}
    for user in ("u000", "newcomer"):
        np.testing.assert_allclose(users[user], expected(by_user[user], old), rtol=1e-5)
    assert set(items) - set(old) == {"brand_new"}, "one user is too few for an item"
    assert all((items[item] == old[item]).all() for item in old)
    np.testing.assert_allclose(items["brand_new"], expected(by_item["brand_new"], users), rtol=1e-5)
    for frame in folded.frames.values():
        assert frame.count() == frame.select("idx").distinct().count()
    lists = folded.recommend(["newcomer", "u001"], k=40).collect()
    assert {row["user_id"] for row in lists} == {"newcomer", "u001"}
    assert "brand_new" in {row["item_id"] for row in lists if row["user_id"] == "u001"}
    assert not {"i001", "i002", "brand_new"} & {row["item_id"] for row in lists if row["user_id"] == "newcomer"}


def test_a_model_that_does_not_know_its_settings_says_so(spark: SparkSession, log: Log, model: AlsModel) -> None:
    bare = replace(model, settings=Als(), metrics={})
    with pytest.raises(DataError, match="does not say which reg it was fitted with"):
        bare.folded(replace(log, events=events_of(spark, [])))
