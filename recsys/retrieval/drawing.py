"""What a search for settings asks of a retriever: which of them to try, and between what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

V = TypeVar("V", str, int, float)


class Draw(Protocol):
    """Chooses the settings of a trial; each name is drawn once."""

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number between two ends; `log` spreads the draws over orders of magnitude."""
        ...

    def one_of(self, name: str, values: Sequence[V]) -> V:
        """Draw one of some values."""
        ...
