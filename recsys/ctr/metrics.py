"""Exact metrics of binary predictions, with example weights. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]

SMALLEST_PROBABILITY = 1e-15


def auc(labels: Values, scores: Values, weights: Values | None = None) -> float:
    """Area under the ROC curve: the probability that a positive scores above a negative, ties counting half.

    Parameters
    ----------
    labels : array of shape (n,)
        0 or 1.
    scores : array of shape (n,)
        Any scale; finite, or -inf for "last".
    weights : array of shape (n,), optional
        Non-negative; a row of weight 2 counts as two rows.

    Returns
    -------
    float
        0 to 1; NaN where one of the classes has no weight.

    Examples
    --------
    >>> auc(np.array([0.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    labels = np.asarray(labels, dtype=np.float64)
    w = np.ones_like(labels) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    ordered = np.asarray(scores)[order]
    if len(ordered) == 0:
        return float("nan")
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    positive = np.add.reduceat((w * labels)[order], starts)
    negative = np.add.reduceat((w * (1.0 - labels))[order], starts)
    below = np.cumsum(negative) - negative
    total = positive.sum() * negative.sum()
    return float((positive * (below + 0.5 * negative)).sum() / total) if total > 0 else float("nan")


def list_auc(labels: Values, scores: Values, lists: npt.NDArray[Any], weights: Values | None = None) -> float:
    """Mean AUC within lists, over the lists with both classes; every list counts the same.

    Parameters
    ----------
    labels, scores : array of shape (n,)
        As in :func:`auc`; scores are finite.
    lists : array of shape (n,)
        Which list a row is of; rows of a list may lie anywhere.
    weights : array of shape (n,), optional
        A row of weight 2 stands for two rows of its list.

    Returns
    -------
    float
        0 to 1; NaN where no list has both classes.

    Examples
    --------
    >>> list_auc(np.array([1.0, 0, 0, 1]), np.array([2.0, 1, 5, 4]), np.array([7, 7, 8, 8]))
    0.5
    """
    y, w, first, tied = _by_list(labels, scores, lists, weights)
    if len(y) == 0:
        return float("nan")
    negative = w * (1.0 - y)
    total, tie = np.cumsum(negative), np.add.reduceat(negative, tied.starts)[tied.block]
    # Sorted from high to low: what lies behind the ties of a row, within its list, is below it.
    of_list = np.add.reduceat(negative, first.starts)
    before_list = (total - negative)[first.starts]
    up_to_tie = (total - negative)[tied.starts][tied.block] + tie - before_list[first.block]
    below = of_list[first.block] - up_to_tie
    wins = np.add.reduceat(w * y * (below + 0.5 * tie), first.starts)
    pairs = np.add.reduceat(w * y, first.starts) * of_list
    return float((wins[pairs > 0] / pairs[pairs > 0]).mean()) if (pairs > 0).any() else float("nan")


def list_ndcg(
    labels: Values, scores: Values, lists: npt.NDArray[Any], weights: Values | None = None, *, k: int = 10
) -> float:
    """Mean NDCG at `k` within lists, over the lists with both classes; every list counts the same.

    The rank of a row is 1 plus the weight of the rows above it, plus half of the weight that it is tied with: where
    negatives were sampled, those that were kept hold the places of those that were not.

    Parameters
    ----------
    labels, scores, lists, weights : array of shape (n,)
        As in :func:`list_auc`.
    k : int
        Rows of a rank above this gain nothing.

    Returns
    -------
    float
        0 to 1; NaN where no list has both classes.
    """
    y, w, first, tied = _by_list(labels, scores, lists, weights)
    if len(y) == 0:
        return float("nan")
    total = np.cumsum(w) - w
    above = total[tied.starts][tied.block] - total[first.starts][first.block]
    rank = 1.0 + above + 0.5 * (np.add.reduceat(w, tied.starts)[tied.block] - w)
    positive = np.cumsum(w * y) - w * y
    best = 1.0 + positive - positive[first.starts][first.block]
    gains = [np.where(at <= k, w * y / np.log2(1.0 + at), 0.0) for at in (rank, best)]
    found, ideal = (np.add.reduceat(gain, first.starts) for gain in gains)
    both = (np.add.reduceat(w * y, first.starts) > 0) & (np.add.reduceat(w * (1.0 - y), first.starts) > 0)
    return float((found[both] / ideal[both]).mean()) if both.any() else float("nan")


@dataclass(frozen=True)
class _Blocks:
    """Runs of equal neighbors: where each begins, and which one a row is of."""

    starts: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]

    @classmethod
    def of(cls, new: npt.NDArray[np.bool_]) -> _Blocks:
        return cls(np.flatnonzero(new), np.cumsum(new) - 1)


def _by_list(
    labels: Values, scores: Values, lists: npt.NDArray[Any], weights: Values | None
) -> tuple[Values, Values, _Blocks, _Blocks]:
    """Sort rows by list and from high to low; return labels, weights, the lists and the ties within them."""
    order = np.lexsort((-np.asarray(scores, dtype=np.float64), lists))
    code, score = np.asarray(lists)[order], np.asarray(scores)[order]
    y = np.asarray(labels, dtype=np.float64)[order]
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)[order]
    first = np.concatenate([[True], code[1:] != code[:-1]])[: len(code)]
    tied = first | np.concatenate([[True], score[1:] != score[:-1]])[: len(code)]
    return y, w, _Blocks.of(first), _Blocks.of(tied)


def logloss(labels: Values, probabilities: Values, weights: Values | None = None) -> float:
    """Mean negative log-likelihood, in nats. Probabilities are kept 1e-15 away from 0 and 1.

    Examples
    --------
    >>> round(logloss(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 4)
    0.6931
    """
    labels = np.asarray(labels, dtype=np.float64)
    p = np.clip(np.asarray(probabilities, dtype=np.float64), SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY)
    w = np.ones_like(labels) if weights is None else np.asarray(weights, dtype=np.float64)
    losses = -(labels * np.log(p) + (1.0 - labels) * np.log1p(-p))
    return float((w * losses).sum() / w.sum()) if w.sum() > 0 else float("nan")


def mean(values: Values, weights: Values | None = None) -> float:
    """Weighted mean; NaN where there is no weight."""
    values = np.asarray(values, dtype=np.float64)
    w = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    return float((w * values).sum() / w.sum()) if w.sum() > 0 else float("nan")


def sigmoid(logits: Values) -> npt.NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), without overflow."""
    x = np.asarray(logits, dtype=np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
