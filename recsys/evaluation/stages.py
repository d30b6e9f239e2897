"""The stages whose lists are judged, and the pairs of them that are compared."""

from __future__ import annotations

from dataclasses import dataclass

CANDIDATES, RANKER, FINAL = "candidates", "ranker", "final"


@dataclass(frozen=True)
class Stages:
    """The stages of one configuration.

    Attributes
    ----------
    retrievers : tuple of str
        Names of the retrievers, in the order of the config.
    baseline : str, optional
        The retriever that others are compared with: its list alone, in full.
    ranked : bool
        Whether there is a ranker.
    """

    retrievers: tuple[str, ...]
    baseline: str | None = None
    ranked: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Every stage: each retriever, their union, the ranker's own order and the final list."""
        return (*self.retrievers, CANDIDATES, *([RANKER] if self.ranked else []), FINAL)

    @property
    def without_version(self) -> tuple[str, ...]:
        """Stages whose lists no ranker made; their own name stands for a version."""
        return (*self.retrievers, CANDIDATES)

    @property
    def differences(self) -> tuple[tuple[str, str], ...]:
        """Pairs of stages that are compared within the same users."""
        baseline = [self.baseline] if self.baseline else []
        pairs = [
            *((FINAL, name) for name in (*baseline, CANDIDATES, RANKER)),
            *((CANDIDATES, name) for name in baseline),
        ]
        return tuple(pair for pair in pairs if set(pair) <= set(self.names))
