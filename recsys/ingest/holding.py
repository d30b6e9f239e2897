"""What cleaning keeps on disk while it goes on, and what it sends to every executor."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_BYTES_PER_KEY: Final = 64


class Holder(ExitStack):
    """Keeps frames on disk until the block ends, so that files are parsed once."""

    def hold(self, frame: DataFrame) -> DataFrame:
        """Keep a frame once it is computed."""
        held = frame.persist(StorageLevel.DISK_ONLY)
        self.callback(held.unpersist)
        return held


@dataclass(frozen=True)
class Few:
    """Decides whether a list of keys is small enough to be sent to every executor."""

    limit_mb: int

    def fits(self, count: int) -> bool:
        """Whether so many keys are."""
        return count * _BYTES_PER_KEY <= self.limit_mb * 1_000_000

    def broadcast(self, keys: DataFrame, count: int) -> DataFrame:
        """Mark keys to be sent to every executor, if they are few enough."""
        return F.broadcast(keys) if self.fits(count) else keys
