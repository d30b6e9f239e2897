"""Whether the rows to be scored are like those that the model was trained on."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from recsys.ctr.inputs.bins import NULL_BIN
from recsys.ctr.inputs.profiles import counted
from recsys.ctr.serving.bundle import ModelBundle
from recsys.errors import DataError
from recsys.progress import note

SMALLEST_SHARE = 1e-4
"""Shares are at least this, so that an empty bin is a large index and not an infinite one."""
ON_PURPOSE = ("position",)
"""Inputs that scoring sets to one value."""


@dataclass(frozen=True)
class Skew:
    """How an input of the rows to be scored differs from training.

    Attributes
    ----------
    psi : float
        Population stability index, from 0: the sum over bins of (now - training) * log(now / training), null being a
        bin. Below .1 is usual, above .25 another population.
    null_share_train, null_share_now : float
        Share of null rows, 0 to 1; an empty list counts as null.
    """

    input: str
    psi: float
    null_share_train: float
    null_share_now: float


def skew(bundle: ModelBundle, frame: DataFrame, *, ignore: Collection[str] = ON_PURPOSE) -> tuple[Skew, ...]:
    """Compare rows with those of the training, by input; one aggregation over the frame.

    An input that is null in some rows and never was in training is noted in the log: the model has not learned what
    that means.

    Parameters
    ----------
    frame : DataFrame
        Rows with the bundle's `spec.source_columns`.
    ignore : collection of str
        Inputs to leave out.

    Returns
    -------
    tuple of Skew
        In the order of the inputs; empty where the frame or the bundle has nothing to compare.
    """
    spec = bundle.spec
    profiles = {found.name: found for found in spec.profiles if found.name not in ignore}
    out = []
    for name, counts in counted(frame, spec.inputs, profiles).items():
        rows, before = sum(counts), profiles[name].shares
        if rows == 0:
            continue
        now = [count / rows for count in counts]
        out.append(Skew(name, stability_index(before, now), before[NULL_BIN], now[NULL_BIN]))
    new = [found.input for found in out if found.null_share_train == 0 and found.null_share_now > 0]
    if new:
        note(f"never null in training, but in the rows to be scored: {', '.join(new)}")
    return tuple(out)


def stability_index(before: Sequence[float], now: Sequence[float]) -> float:
    """Return the population stability index of two distributions over the same bins.

    Examples
    --------
    >>> stability_index([0.5, 0.5], [0.5, 0.5])
    0.0
    >>> round(stability_index([0.5, 0.5], [0.9, 0.1]), 3)
    0.879
    """
    floored = [(max(p, SMALLEST_SHARE), max(q, SMALLEST_SHARE)) for p, q in zip(before, now, strict=True)]
    return sum((q - p) * math.log(q / p) for p, q in floored)


def require_similar(found: Sequence[Skew], *, max_psi: float) -> None:
    """Stop where an input differs too much.

    Raises
    ------
    DataError
        Naming the inputs above the limit, the largest first.
    """
    beyond = sorted((item for item in found if item.psi > max_psi), key=lambda item: (-item.psi, item.input))
    if beyond:
        worst = ", ".join(f"{item.input} ({item.psi:.2f})" for item in beyond[:5])
        raise DataError(
            f"{len(beyond)} inputs of the rows to be scored differ from the training rows by a PSI above {max_psi}: "
            f"{worst}; check where these columns come from, train again, or raise the limit"
        )
