"""Parquet shards into shuffled batches. Whole row groups are read, encoded and shuffled, never single rows.

A rank reads its own shards only. Shards, order and number of steps follow from counts and the seed, so every rank
knows what the others do without asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from recsys.ctr.base import Shard
from recsys.ctr.training.reader import Codes, Reader, Rows

Places = npt.NDArray[np.int64]


class Epochs:
    """Shuffled batches of fixed size, epoch after epoch.

    If all rows fit into the cache they are read and encoded once and shuffled as a whole; otherwise row groups are
    visited in random order and shuffled together, `window` of them at a time.

    Parameters
    ----------
    whole_lists : bool
        Shuffle lists instead of rows. A batch then ends before a list that would not fit, and is padded; only a list
        longer than a batch is cut. (Without the cache, what `window` row groups hold of a list counts as the list.)
    """

    def __init__(
        self,
        reader: Reader,
        shards: Sequence[Shard],
        *,
        batch_size: int,
        seed: int,
        rank: int,
        cache_bytes: int,
        window: int,
        whole_lists: bool = False,
    ) -> None:
        self.reader = reader
        self._groups = reader.row_groups(shards)
        self._rows = sum(s.rows for s in shards)
        self._batch_size = batch_size
        self._seed = (seed, rank)
        self._window = window
        self._whole_lists = whole_lists
        self._cached: Rows | None = None
        self.cached = self._rows * reader.layout.row_bytes <= cache_bytes

    def batches(self, epoch: int, steps: int) -> Iterator[Rows]:
        """Yield exactly `steps` batches; rows start over when they run out, and the last batch of a pass is padded."""
        done, turn = 0, 0
        while done < steps:
            rest: Rows | None = None
            for chunk in self._chunks(epoch, turn):
                joined = chunk if rest is None else Rows.join([rest, chunk])
                start = 0
                for stop in self._ends(joined):
                    yield joined.take(slice(start, stop)).padded(self._batch_size)
                    start = stop
                    done += 1
                    if done == steps:
                        return
                rest = joined.take(slice(start, len(joined))) if start < len(joined) else None
            if rest is not None:
                yield rest.padded(self._batch_size)
                done += 1
            turn += 1

    def _ends(self, rows: Rows) -> list[int]:
        """Return where full batches end; the rows after the last one wait for the next chunk."""
        size = self._batch_size
        if not self._whole_lists:
            return list(range(size, len(rows) + 1, size))
        return ends_between_lists(rows.group, size)

    def _chunks(self, epoch: int, turn: int) -> Iterator[Rows]:
        random = np.random.default_rng([*self._seed, epoch, turn])
        if self.cached:
            if self._cached is None:
                self._cached = self._read(self._groups)
            if len(self._cached):
                yield self._cached.take(self._shuffled(self._cached, random))
            return
        order = random.permutation(len(self._groups))
        for start in range(0, len(order), self._window):
            rows = self._read([self._groups[i] for i in order[start : start + self._window]])
            if len(rows):
                yield rows.take(self._shuffled(rows, random))

    def _shuffled(self, rows: Rows, random: np.random.Generator) -> Places:
        if not self._whole_lists:
            return random.permutation(len(rows))
        codes, members = np.unique(rows.group, return_inverse=True)
        places: Places = np.argsort(random.permutation(len(codes))[members], kind="stable")
        return places

    def _read(self, groups: Sequence[tuple[str, int]]) -> Rows:
        return Rows.join([self.reader.encode(self.reader.table(group)) for group in groups])


def ends_between_lists(group: Codes, size: int) -> list[int]:
    """Return where batches of at most `size` rows end so that lists, which lie together, are not cut.

    Examples
    --------
    >>> ends_between_lists(np.array([5, 5, 5, 8, 8, 2, 2], dtype=np.uint64), 4)
    [3, 7]
    >>> ends_between_lists(np.array([5, 5, 5, 8, 8, 2, 2], dtype=np.uint64), 2)
    [2, 3, 5, 7]
    """
    limits = np.append(np.flatnonzero(group[1:] != group[:-1]) + 1, len(group))
    ends: list[int] = []
    start = 0
    while start < len(group):
        fits = int(np.searchsorted(limits, start + size, side="right"))
        stop = int(limits[fits - 1]) if fits else 0
        if stop <= start:  # not even one list fits
            stop = start + size
        if stop == len(group) and stop - start < size:
            break  # the next chunk may still fill it
        ends.append(stop)
        start = stop
    return ends
