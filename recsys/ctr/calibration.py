"""From the model's logit to a calibrated probability.

Two corrections are made. First, negatives were sampled: if each class was kept at one rate, the odds that the model
learned are off by a known factor, so log(rate of negatives / rate of positives) is added to the logit (He et al.,
2014, section 6.3); otherwise examples weigh 1 / sample_rate in the loss and no shift is needed. Second, the model may
be over- or under-confident: a slope and an intercept (Platt, 1999), or a slope alone (temperature), are fitted on the
validation split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ctr.metrics import sigmoid
from recsys.ctr.settings import CalibrationKind

Floats = npt.NDArray[np.floating[Any]]

NEWTON_STEPS = 50
SMALLEST_STEP = 1e-10
SMALLEST_SLOPE = 0.05
LARGEST_SLOPE = 20.0


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(slope * (logit + shift) + intercept)."""

    kind: CalibrationKind = "none"
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
        Of the validation split; weights undo the sampling (1 / sample_rate).
    shift : float
        Added to every logit first.
    """
    if kind == "none" or len(labels) == 0:
        return Calibration("none", shift)
    x = np.asarray(logits, dtype=np.float64) + shift
    y, w = np.asarray(labels, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    design = np.stack([x, np.ones_like(x)] if kind == "platt" else [x], axis=1)
    theta = _newton(design, y, w, np.array([1.0, 0.0])[: design.shape[1]])
    slope = float(np.clip(theta[0], SMALLEST_SLOPE, LARGEST_SLOPE))
    return Calibration(kind, shift, slope, float(theta[1]) if kind == "platt" else 0.0)


def _newton(design: Floats, y: Floats, w: Floats, start: Floats) -> Floats:
    theta = start.copy()
    # The pull weighs as much as one example: it matters only if the split is tiny or the classes separate perfectly.
    pull = float(w.mean())
    best = _penalized(design, y, w, theta, start, pull)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (w * (p - y)) + pull * (theta - start)
        hessian = (design * (w * p * (1 - p))[:, None]).T @ design + pull * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        value = _penalized(design, y, w, theta - step, start, pull)
        while value > best and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
            value = _penalized(design, y, w, theta - step, start, pull)
        if value > best:
            break
        theta, best = theta - step, value
        if np.abs(step).max() <= SMALLEST_STEP:
            break
    return theta


def _penalized(design: Floats, y: Floats, w: Floats, theta: Floats, target: Floats, pull: float) -> float:
    z = design @ theta
    likelihood = w * (np.logaddexp(0.0, z) - y * z)
    return float(likelihood.sum() + 0.5 * pull * ((theta - target) ** 2).sum())
