"""Calibrated predictions match what happened; sampling is undone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from recsys.ctr.calibration import Calibration, fit_calibration, sampling_shift
from recsys.ctr.metrics import auc, logloss, mean, sigmoid

pytestmark = pytest.mark.fast


def _drawn(slope: float, intercept: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, n)
    return logits, (random.random(n) < sigmoid(slope * logits + intercept)).astype(float)


def test_platt_finds_slope_and_intercept() -> None:
    logits, labels = _drawn(0.5, -1.0)
    found = fit_calibration("platt", logits, labels, np.ones_like(logits))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-1.0, abs=0.05)
    assert mean(found.probability(logits)) == pytest.approx(labels.mean(), abs=1e-4)


def test_platt_is_the_maximum_of_the_likelihood() -> None:
    logits, labels = _drawn(1.7, 0.4, 4000)
    weights = np.random.default_rng(1).random(4000) + 0.5

    def loss(theta: np.ndarray) -> float:
        return logloss(labels, sigmoid(theta[0] * logits + theta[1]), weights)

    found = fit_calibration("platt", logits, labels, weights)
    oracle = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    assert [found.slope, found.intercept] == pytest.approx(list(oracle), abs=5e-3)


def test_temperature_has_no_intercept() -> None:
    logits, labels = _drawn(0.5, 0.0)
    found = fit_calibration("temperature", logits, labels, np.ones_like(logits))
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.03), 0.0)


def test_sampled_negatives_are_undone_by_the_shift() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(-3, 1, 200_000)
    labels = (random.random(len(truth)) < sigmoid(truth)).astype(float)
    kept = (labels == 1) | (random.random(len(truth)) < 0.1)
    # what a perfect model learns from the sample
    sampled = truth - sampling_shift(0.1, 1.0)
    assert sigmoid(sampled[kept]).mean() == pytest.approx(labels[kept].mean(), rel=0.02)
    calibrated = Calibration(shift=sampling_shift(0.1, 1.0)).probability(sampled)
    assert calibrated.mean() == pytest.approx(labels.mean(), rel=0.02)


def test_calibration_keeps_the_order() -> None:
    logits, labels = _drawn(0.06, -1.0)  # little signal: a slope near its bound
    found = fit_calibration("platt", logits, labels, np.ones_like(logits))
    assert found.slope > 0
    assert auc(labels, found.probability(logits)) == auc(labels, logits)


def test_a_model_that_is_wrong_way_round_says_the_base_rate() -> None:
    logits, labels = _drawn(-0.7, 0.0, 2000)
    weights = np.where(labels == 1, 1.0, 4.0)
    found = fit_calibration("platt", logits, labels, weights)
    assert (found.kind, found.slope) == ("constant", 0.0)
    assert found.probability(logits) == pytest.approx(np.full(2000, mean(labels, weights)))


def test_the_intercept_is_that_of_the_slope_at_its_bound() -> None:
    """Logits forty times too small: the slope ends at 20, and the mean must still be that of the labels."""
    logits, labels = _drawn(1.0, -1.0, 20_000)
    found = fit_calibration("platt", logits / 40, labels, np.ones_like(logits))
    assert found.slope == 20.0
    assert mean(found.probability(logits / 40)) == pytest.approx(labels.mean(), abs=1e-4)


def test_without_signal_it_is_never_worse_than_the_base_rate() -> None:
    for seed in range(200):
        random = np.random.default_rng(seed)
        logits = random.normal(-4, 3, 400)  # confident and far off the mean, about nothing
        labels = (random.random(400) < 0.168).astype(float)
        weights = random.choice([1.0, 5.0], 400)
        base = logloss(labels, np.full(400, mean(labels, weights)), weights)
        for kind in ("platt", "temperature"):
            found = fit_calibration(kind, logits, labels, weights)
            assert logloss(labels, found.probability(logits), weights) <= base + 1e-12, (seed, kind, found)


def test_it_is_never_worse_than_no_calibration() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        logits = random.normal(0, 2, 20)
        labels = (random.random(20) < sigmoid(logits)).astype(float)
        for kind in ("platt", "temperature"):
            found = fit_calibration(kind, logits, labels, np.ones(20), shift=0.3)
            assert logloss(labels, found.probability(logits)) <= logloss(labels, found.raw(logits)) + 1e-12


@pytest.mark.parametrize("labels", [np.zeros(6), np.ones(6), np.array([0, 0, 0, 1, 1, 1.0])])
def test_tiny_or_separable_splits_give_finite_figures(labels: np.ndarray) -> None:
    found = fit_calibration("platt", np.array([-3, -2, -1, 1, 2, 3.0]), labels, np.ones(6))
    assert np.isfinite([found.slope, found.intercept]).all()
    assert found.kind == "constant" or 0.05 <= found.slope <= 20


def test_none_and_empty_are_the_identity() -> None:
    empty = np.array([])
    assert fit_calibration("platt", empty, empty, empty) == Calibration()
    none = fit_calibration("none", np.ones(2), np.array([0, 1.0]), np.ones(2), shift=-1.0)
    assert none.probability(np.array([1.0])) == pytest.approx([0.5])
    assert none.raw(np.array([1.0])) == pytest.approx([0.5])
