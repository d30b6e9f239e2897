"""What a retriever is: fit(frames) -> model; model.recommend(users, k, exclude) -> rows; frames out, frames in.

A new algorithm is one module with a retriever and a model of these shapes, one section of the config and one line in
`tests/conformance/test_retrievers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self, cast

from pyspark import StorageLevel
from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Frames:
    """What a retriever may learn from; each takes what it needs.

    Attributes
    ----------
    as_of : datetime
        Exclusive upper bound; a retriever that reads times cuts there by itself.
    events : DataFrame
        The cleaned log.
    interactions : DataFrame, optional
        `user_id, item_id, weight, last_time, n`: see `recsys.transforms.interactions`.
    user_index, item_index : DataFrame, optional
        Public id and `idx`.
    users : DataFrame, optional
        Profiles valid at `as_of`: `user_id, segment`.
    """

    as_of: datetime
    events: DataFrame
    interactions: DataFrame | None = None
    user_index: DataFrame | None = None
    item_index: DataFrame | None = None
    users: DataFrame | None = None

    def need(self, name: str) -> DataFrame:
        """Return a frame that a retriever can't do without.

        Raises
        ------
        ValueError
            If it was not given.
        """
        frame = getattr(self, name)
        if frame is None:
            raise ValueError(f"this retriever needs the frame {name}")
        return cast(DataFrame, frame)


class Model(Protocol):
    """A fitted retriever. It holds frames only, so that whoever does the I/O can keep it in tables."""

    def recommend(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return `user_id, item_id, rank, score`, at most `k` rows for each user.

        Ranks are dense from 1; equal scores are ordered by item id.

        Parameters
        ----------
        users : DataFrame
            Distinct `user_id`. Users that the model knows nothing of may come back without rows.
        k : int
            Most rows per user.
        exclude : DataFrame, optional
            `user_id, item_id` pairs that must not come back.
        """
        ...

    def frames(self) -> dict[str, DataFrame]:
        """Return everything that the model is, as frames by name."""
        ...

    @classmethod
    def from_frames(cls, frames: Mapping[str, DataFrame]) -> Self:
        """Make a model of the frames that another one returned."""
        ...


class Retriever(Protocol):
    """An algorithm with its settings."""

    def fit(self, frames: Frames) -> Model:
        """Learn from the frames.

        Raises
        ------
        NothingToDo
            If there is too little to learn from.
        """
        ...


@contextmanager
def persisted(frame: DataFrame) -> Iterator[DataFrame]:
    """Keep a frame that several passes read, for the time of the block."""
    kept = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield kept
    finally:
        kept.unpersist()
