"""What fitting saw of the inputs: which it left out, and how the others were distributed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DroppedInput:
    """An input that was left out at fitting, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Profile:
    """How an input was distributed in training, to compare with the rows that are scored.

    Attributes
    ----------
    shares : tuple of float
        Of the training rows, by bin: first null (an empty list counts as null), then the bins of `edges` or `values`.
    edges : tuple of float
        Where the bins of a number begin, on the scale of its transform.
    values : tuple of str
        The most frequent values of a category; the last bin is any other.
    """

    name: str
    shares: tuple[float, ...]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
