"""What a retriever is given to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame

from recsys.data.log import Log
from recsys.retrieval.audience import Audience
from recsys.retrieval.interactions import interactions
from recsys.retrieval.settings import SignalSettings


@dataclass(frozen=True)
class TrainingData:
    """A log, how much its events count, and what is derived from both. Nothing is computed before it is used.

    Attributes
    ----------
    log : Log
        With its indexes.
    signal : SignalSettings
        How much each event counts.
    shared : DataFrame, optional
        The interactions, where several retrievers share them.
    broadcast_limit_mb : float
        Largest thing that is broadcast.
    """

    log: Log
    signal: SignalSettings
    shared: DataFrame | None
    broadcast_limit_mb: float

    @property
    def as_of(self) -> datetime:
        """Exclusive upper bound of what may be learned from."""
        return self.log.as_of

    @property
    def interactions(self) -> DataFrame:
        """`user_id, item_id, weight, last_time, n`: see `recsys.retrieval.interactions`."""
        if self.shared is not None:
            return self.shared
        return interactions(self.log.events, as_of=self.log.as_of, signal=self.signal)

    @property
    def user_index(self) -> DataFrame:
        """`user_id, idx`."""
        assert self.log.user_index is not None
        return self.log.user_index.select("user_id", "idx")

    @property
    def item_index(self) -> DataFrame:
        """`item_id, idx`."""
        assert self.log.item_index is not None
        return self.log.item_index.select("item_id", "idx")

    @property
    def audience(self) -> Audience:
        """Everybody in the log."""
        return Audience.of(self.log, signal=self.signal)
