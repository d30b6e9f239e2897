"""Metrics against scikit-learn and fractions done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from recsys.ctr.metrics import auc, list_auc, list_ndcg, logloss, mean, sigmoid

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


def _lists(lists: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(lists == name) for name in sorted(set(lists.tolist()))]


def _slow_list_auc(labels: np.ndarray, scores: np.ndarray, lists: np.ndarray, weights: np.ndarray) -> float:
    found = []
    for rows in _lists(lists):
        won = total = 0.0
        for i in rows[labels[rows] == 1]:
            for j in rows[labels[rows] == 0]:
                won += weights[i] * weights[j] * (float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]))
                total += weights[i] * weights[j]
        if total:
            found.append(won / total)
    return float(np.mean(found)) if found else float("nan")


def _slow_list_ndcg(labels: np.ndarray, scores: np.ndarray, lists: np.ndarray, weights: np.ndarray, k: int) -> float:
    """One row at a time; a row of weight 3 among its ties has one of its own three places in the middle."""
    found = []
    for rows in _lists(lists):
        if not 0 < labels[rows].sum() < len(rows):
            continue
        got = 0.0
        for i in rows[labels[rows] == 1]:
            above = sum(weights[j] for j in rows if scores[j] > scores[i])
            beside = sum(weights[j] for j in rows if scores[j] == scores[i] and j != i)
            rank = 1 + above + beside / 2
            got += weights[i] / np.log2(1 + rank) if rank <= k else 0.0
        best, at = 0.0, 1.0
        for i in sorted(rows[labels[rows] == 1], key=lambda row: -scores[row]):
            best += weights[i] / np.log2(1 + at) if at <= k else 0.0
            at += weights[i]
        found.append(got / best)
    return float(np.mean(found)) if found else float("nan")


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_within_lists_like_one_row_at_a_time(seed: int, n: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random(n) < 0.4).astype(float)
    scores = random.integers(0, 4, n) / 4 if ties else random.normal(size=n)
    lists = random.integers(0, 6, n).astype(np.uint64)
    # positives are all kept; a negative that was kept with a rate of 1/4 stands for four
    weights = np.where(labels == 1, 1.0, random.choice([1.0, 4.0], n))
    expected = _slow_list_auc(labels, scores, lists, weights)
    assert list_auc(labels, scores, lists, weights) == pytest.approx(expected, nan_ok=True)
    for k in (1, 3, 10):
        expected = _slow_list_ndcg(labels, scores, lists, weights, k)
        assert list_ndcg(labels, scores, lists, weights, k=k) == pytest.approx(expected, nan_ok=True)


def test_ndcg_by_hand() -> None:
    labels, scores = np.array([0, 1, 1, 0, 1.0]), np.array([3, 2, 1, 9, 8.0])
    lists = np.array([1, 1, 1, 2, 2])
    first = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert list_ndcg(labels, scores, lists) == pytest.approx((first + 1 / np.log2(3)) / 2)
    assert list_ndcg(labels, scores, lists, k=1) == 0.0
    # the negative above stands for nine, so that the positive below it is tenth
    assert list_ndcg(labels[3:], scores[3:], lists[3:], np.array([9.0, 1.0])) == pytest.approx(1 / np.log2(11))


def test_lists_of_one_class_do_not_count() -> None:
    labels, scores, lists = np.array([1, 1, 0, 0.0]), np.arange(4.0), np.array([1, 1, 2, 2])
    assert np.isnan(list_auc(labels, scores, lists)) and np.isnan(list_ndcg(labels, scores, lists))
    assert np.isnan(list_auc(labels[:0], scores[:0], lists[:0])) and np.isnan(
        list_ndcg(labels[:0], scores[:0], lists[:0])
    )
