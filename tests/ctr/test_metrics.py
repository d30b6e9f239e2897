"""Metrics against scikit-learn and fractions done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from recsys.ctr.metrics import auc, logloss, mean, sigmoid

pytestmark = pytest.mark.fast


def test_auc_by_hand() -> None:
    # pairs (positive, negative): 0.9>0.1, 0.9>0.4, 0.4=0.4 (half), 0.4>0.1
    assert auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.4, 0.4, 0.1])) == 3.5 / 4


def test_auc_needs_both_classes() -> None:
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))
    assert np.isnan(auc(np.array([]), np.array([])))


def test_auc_takes_minus_infinity_as_last() -> None:
    assert auc(np.array([0.0, 1.0]), np.array([-np.inf, 0.0])) == 1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans())
def test_like_scikit_learn(seed: int, n: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n).astype(float)
    labels[:2] = [0.0, 1.0]
    scores = random.integers(1, 5, n) / 5 if ties else random.random(n)
    weights = random.random(n) + 0.1
    assert auc(labels, scores, weights) == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    assert logloss(labels, scores, weights) == pytest.approx(log_loss(labels, scores, sample_weight=weights))


def test_weight_two_is_two_rows() -> None:
    labels, scores = np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.7, 0.2])
    twice = np.array([0, 1, 1, 2])
    assert auc(labels, scores, np.array([1.0, 2.0, 1.0])) == auc(labels[twice], scores[twice]) == 1 / 3


def test_logloss_of_certain_errors_is_finite() -> None:
    assert logloss(np.array([1.0]), np.array([0.0])) == pytest.approx(-np.log(1e-15))


def test_without_weight_there_is_no_mean() -> None:
    assert np.isnan(mean(np.array([1.0]), np.array([0.0])))
    assert np.isnan(logloss(np.array([]), np.array([])))


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
