"""How a number is brought to the scale of a network: limits, centers and fills, from counted values. Plain Python.

The values are counted on the scale of their transform and rounded to three digits, so quantiles are exact to that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from recsys.ctr.inputs.settings import InputSpec

Counts = Sequence[tuple[float, int]]
"""Values and how often each occurs, smallest first."""

KNOTS: Final = 101
"""Most points of a quantile scale; between them it is linear."""
_NORMAL_IQR: Final = 1.349
"""Distance between the quartiles of a normal distribution of deviation 1."""
_NORMAL_MAD: Final = 0.6745
"""Median distance from the median of the same."""


def quantile(counts: Counts, share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    Examples
    --------
    >>> quantile([(1.0, 2), (5.0, 1), (9.0, 1)], 0.5)
    1.0
    """
    least, below = share * sum(n for _, n in counts), 0
    for value, n in counts:
        below += n
        if below >= least:
            return value
    return counts[-1][0]


def mean_and_deviation(counts: Counts) -> tuple[float, float]:
    """Return the mean and the population's standard deviation."""
    total = sum(n for _, n in counts)
    mean = math.fsum(value * n for value, n in counts) / total
    return mean, math.sqrt(math.fsum(n * (value - mean) ** 2 for value, n in counts) / total)


def limits(item: InputSpec, counts: Counts) -> tuple[float, float] | None:
    """Return what an input's values are drawn in to; None where they stay as they are."""
    if item.winsorize is not None:
        return quantile(counts, item.winsorize), quantile(counts, 1.0 - item.winsorize)
    if item.robust_z is None:
        return None
    middle = quantile(counts, 0.5)
    distance = quantile(_merged((abs(value - middle), n) for value, n in counts), 0.5)
    # Where half of the values are one, any other would be infinitely far away.
    if distance == 0:
        return None
    reach = item.robust_z * distance / _NORMAL_MAD
    return middle - reach, middle + reach


def scaled(item: InputSpec, counts: Counts, *, mean: float, std: float) -> dict[str, Any]:
    """Fit the scale of a number.

    Parameters
    ----------
    counts : sequence of (float, int)
        Its values in training.
    mean, std : float
        Of the values as they are, exactly.

    Returns
    -------
    dict
        Attributes of `FittedInput`: `mean` and `std` are what is subtracted and divided by.
    """
    found = limits(item, counts)
    if found is not None:
        low, high = found
        counts = _merged((min(max(value, low), high), n) for value, n in counts)
        mean, std = mean_and_deviation(counts)
    values: dict[str, Any] = {} if found is None else {"low": found[0], "high": found[1]}
    values |= {"fill": _fill(item, counts, mean), "mean": mean, "std": std}
    if item.transform == "minmax":
        values |= {"mean": counts[0][0], "std": counts[-1][0] - counts[0][0]}
    elif item.transform == "robust":
        spread = quantile(counts, 0.75) - quantile(counts, 0.25)
        values |= {"mean": quantile(counts, 0.5), "std": spread / _NORMAL_IQR}
    elif item.transform == "log":
        values |= {"mean": 0.0, "std": 1.0}
    elif item.transform == "quantile":
        knots, ranks = _ranks(counts)
        values |= {"boundaries": knots, "ranks": ranks}
    return values


def _fill(item: InputSpec, counts: Counts, mean: float) -> float | None:
    """What stands for null, before it is scaled; None for the middle of a standardized number."""
    if item.missing == "mean":
        return None if item.transform in ("zscore", "log_zscore") else mean
    if item.missing == "median":
        return quantile(counts, 0.5)
    if item.missing == "most_frequent":
        return min(counts, key=lambda pair: (-pair[1], pair[0]))[0]
    value = item.fill or 0.0
    return math.copysign(math.log1p(abs(value)), value) if item.transform in ("log", "log_zscore") else value


def _ranks(counts: Counts) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return points of the distribution: values, and the share of values below each, half of its equals included."""
    total, below = sum(n for _, n in counts), 0
    points: list[tuple[float, float]] = []
    last = len(counts) - 1
    for place, (value, n) in enumerate(counts):
        rank = (below + n / 2) / total
        below += n
        new_step = not points or int(rank * (KNOTS - 3)) > int(points[-1][1] * (KNOTS - 3))
        if len(counts) <= KNOTS or place in (0, last) or new_step:
            points.append((value, rank))
    return tuple(value for value, _ in points), tuple(rank for _, rank in points)


def _merged(pairs: Any) -> list[tuple[float, int]]:
    found: dict[float, int] = {}
    for value, n in pairs:
        found[value] = found.get(value, 0) + n
    return sorted(found.items())
