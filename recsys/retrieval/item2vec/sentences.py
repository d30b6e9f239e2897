"""Users' touches as sentences whose words are items: the part that runs in Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.retrieval.sequences import sequences

SCHEMA = "u bigint, items array<string>"
_ROWS = 50_000
"""Touches in one batch."""


@dataclass(frozen=True)
class Sentences:
    """Writes sequences down.

    Attributes
    ----------
    most : int
        Touches kept per sequence, the latest ones.
    """

    most: int

    def write(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn a partition that holds whole sequences (`u, idx, at, step`) into sentences of two words at least."""
        for some in sequences(batches, most=self.most, rows=_ROWS):
            lengths = np.bincount(some.owner, minlength=len(some.u))
            offsets = pa.array(np.r_[0, np.cumsum(lengths)], pa.int32())
            words = pa.ListArray.from_arrays(offsets, pa.array(some.item).cast(pa.string()))
            long = pa.array(np.flatnonzero(lengths > 1))
            arrays = [pa.array(some.u).take(long), words.take(long)]
            yield pa.RecordBatch.from_arrays(arrays, names=["u", "items"])
