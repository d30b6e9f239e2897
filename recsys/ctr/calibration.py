"""From the model's logit to a calibrated probability.

Two corrections are made. First, negatives were sampled: if each class was kept at one rate, the odds that the model
learned are off by a known factor, so log(rate of negatives / rate of positives) is added to the logit (He et al.,
2014, section 6.3); otherwise examples weigh 1 / sample_rate in the loss and no shift is needed. Second, the model may
be over- or under-confident: a slope and an intercept (Platt, 1999), or a slope alone (temperature), are fitted on the
calibration split. What was fitted is kept only if it does no harm there: a model without signal says the base rate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from recsys.ctr.metrics import logloss, mean, sigmoid
from recsys.ctr.settings import CalibrationKind

Floats = npt.NDArray[np.floating[Any]]

NEWTON_STEPS = 50
SMALLEST_STEP = 1e-10
SMALLEST_SLOPE = 0.05
LARGEST_SLOPE = 20.0

Fitted = Literal["platt", "temperature", "none", "constant"]
"""What a calibration is in the end: what was asked for, or what was better than it."""


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(slope * (logit + shift) + intercept).

    Attributes
    ----------
    kind : {"platt", "temperature", "none", "constant"}
        `constant` has slope 0: the base rate for every row, because the model was worse than that.
    """

    kind: Fitted = "none"
    shift: float = 0.0
    slope: float = 1.0
    intercept: float = 0.0

    def raw(self, logits: Floats) -> npt.NDArray[np.float64]:
        """Probabilities corrected for sampling only."""
        return sigmoid(np.asarray(logits, dtype=np.float64) + self.shift)

    def probability(self, logits: Floats) -> npt.NDArray[np.float64]:
        """Calibrated probabilities."""
        return sigmoid(self.slope * (np.asarray(logits, dtype=np.float64) + self.shift) + self.intercept)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self)


def reliability(
    labels: Floats, probabilities: Floats, weights: Floats, *, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Compare predictions with what happened, in bins of equal weight from the smallest prediction up.

    Returns
    -------
    list of (float, float, int)
        Mean prediction, share of positives (both weighted) and rows of each bin that has any.

    Examples
    --------
    >>> reliability(np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.3, 0.6]), np.ones(3), bins=2)
    [(0.1, 0.0, 1), (0.45, 0.5, 2)]
    """
    order = np.argsort(probabilities, kind="stable")
    p, y, w = (np.asarray(values, dtype=np.float64)[order] for values in (probabilities, labels, weights))
    place = np.minimum((np.cumsum(w) / w.sum() * bins).astype(int), bins - 1) if len(w) else np.zeros(0, int)
    found = []
    for number in np.unique(place):
        mine = place == number
        share = w[mine] / w[mine].sum()
        found.append((float((share * p[mine]).sum()), float((share * y[mine]).sum()), int(mine.sum())))
    return found


def sampling_shift(rate_of_negatives: float, rate_of_positives: float) -> float:
    """Return what to add to a logit that was learned from a sample with these rates for each class.

    Examples
    --------
    >>> round(sampling_shift(0.1, 1.0), 4)
    -2.3026
    """
    return float(np.log(rate_of_negatives) - np.log(rate_of_positives))


def fit_calibration(
    kind: CalibrationKind, logits: Floats, labels: Floats, weights: Floats, *, shift: float = 0.0
) -> Calibration:
    """Fit slope and intercept by weighted maximum likelihood (Newton's method, with a weak pull toward the identity).

    Parameters
    ----------
    kind : {"platt", "temperature", "none"}
        Slope and intercept, slope alone, or neither.
    logits, labels, weights : arrays of shape (n,)
        Of the calibration split; weights undo the sampling (1 / sample_rate).
    shift : float
        Added to every logit first.

    Returns
    -------
    Calibration
        Unless `kind` is `none`, its logloss on these rows is above neither that of the uncalibrated model nor that of
        the weighted base rate: where the fit is worse than one of them, that one is returned, under its own kind.
        The slope is positive, so that the order of rows stays, except in `constant`.
    """
    if kind == "none" or len(labels) == 0:
        return Calibration("none", shift)
    x = np.asarray(logits, dtype=np.float64) + shift
    y, w = np.asarray(labels, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    choices = [_fitted(kind, x, y, w, shift), Calibration("none", shift)]
    base = mean(y, w)
    if 0 < base < 1:
        choices.append(Calibration("constant", shift, 0.0, float(np.log(base) - np.log1p(-base))))
    return min(choices, key=lambda choice: logloss(y, choice.probability(logits), w))


def _fitted(kind: Literal["platt", "temperature"], x: Floats, y: Floats, w: Floats, shift: float) -> Calibration:
    columns = [x, np.ones_like(x)] if kind == "platt" else [x]
    theta = _newton(np.stack(columns, axis=1), y, w, np.array([1.0, 0.0])[: len(columns)])
    slope = float(np.clip(theta[0], SMALLEST_SLOPE, LARGEST_SLOPE))
    if kind == "temperature":
        return Calibration(kind, shift, slope, 0.0)
    if slope != theta[0]:  # the intercept belonged to another slope
        theta[1] = _newton(np.ones((len(x), 1)), y, w, np.zeros(1), offset=slope * x)[0]
    return Calibration(kind, shift, slope, float(theta[1]))


def _newton(design: Floats, y: Floats, w: Floats, start: Floats, *, offset: Floats | float = 0.0) -> Floats:
    theta = start.copy()
    # The pull weighs as much as one example: it matters only if the split is tiny or the classes separate perfectly.
    pull = float(w.mean())

    def value_at(point: Floats) -> float:
        z = design @ point + offset
        likelihood = w * (np.logaddexp(0.0, z) - y * z)
        return float(likelihood.sum() + 0.5 * pull * ((point - start) ** 2).sum())

    best = value_at(theta)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ theta + offset)
        gradient = design.T @ (w * (p - y)) + pull * (theta - start)
        hessian = (design * (w * p * (1 - p))[:, None]).T @ design + pull * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        value = value_at(theta - step)
        while value > best and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
            value = value_at(theta - step)
        if value > best:
            break
        theta, best = theta - step, value
        if np.abs(step).max() <= SMALLEST_STEP:
            break
    return theta
