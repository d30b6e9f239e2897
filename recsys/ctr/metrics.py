"""Exact metrics of binary predictions, with example weights. numpy only."""

from __future__ import annotations

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
