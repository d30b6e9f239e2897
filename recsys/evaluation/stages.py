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
    more_baselines : tuple of str
        Further lists to compare with that no retriever of the config gives, such as `popular_overall`.
    """

    retrievers: tuple[str, ...]
    baseline: str | None = None
    ranked: bool = True
    more_baselines: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every stage: each retriever and baseline, the union, the ranker's own order and the final list."""
        return (*self.without_version, *([RANKER] if self.ranked else []), FINAL)

    @property
    def without_version(self) -> tuple[str, ...]:
        """Stages whose lists no ranker made; their own name stands for a version."""
        return (*self.retrievers, *self.more_baselines, CANDIDATES)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The stages that others are compared with."""
        return (*([self.baseline] if self.baseline else []), *self.more_baselines)

    @property
    def differences(self) -> tuple[tuple[str, str], ...]:
        """Pairs of stages that are compared within the same users."""
        pairs = [
            *((FINAL, name) for name in (*self.baselines, CANDIDATES, RANKER)),
            *((CANDIDATES, name) for name in self.baselines),
        ]
        return tuple(pair for pair in pairs if set(pair) <= set(self.names))
