"""What follows what: pairs of touches counted in numpy, user by user and then item by item, in Python workers.

A user brings at most 2 x `most` x `window` pairs, so the pairs themselves are sent, packed and added up beforehand, to
the block of items that their source belongs to. All sums are of integers: no order of their terms shows in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.retrieval.kernels import Floats, Ints
from recsys.retrieval.neighborhoods.blocks import Index, unpacked, whole_blocks
from recsys.retrieval.neighborhoods.histories import block_of
from recsys.retrieval.neighborhoods.similarity import UNIT, Formula, Population
from recsys.retrieval.sequences import Sequences, sequences

SCHEMA = "block int, sources binary, targets binary, totals binary, supports binary"
"""Pairs of a block: items as 32 bits each, sums in units of 1 / `UNIT` as 64, users as 32."""

_NAMES = ["block", "sources", "targets", "totals", "supports"]
_MADE = 1 << 19
"""Pairs that are made at once, which bounds the memory of a worker."""
_PIECE = 20_000
"""Pairs in one piece: 10,000 pieces, which is what Spark puts into one Arrow batch, stay below 2 GiB."""
_DAY = 86_400e6


@dataclass(frozen=True)
class Steps:
    """How touches are paired.

    Attributes
    ----------
    most : int
        Touches kept per sequence, the latest ones.
    window : int
        How many touches later an item may follow.
    distance_decay : float
        A pair counts this often less for each touch between its two.
    backward : float
        How much the way back counts, from the later item to the earlier one.
    user_power : float
        b: each sequence counts (its touches)^-b.
    within_days : float, optional
        Longest time from the end of one touch to the beginning of the other.
    half_life_days : float, optional
        Days after which a pair counts half; its age is that of the later touch.
    as_of : int
        The instant from which ages count, in microseconds.
    n_items, blocks : int
        Largest number of an item, and how many blocks the items are cut into.
    """

    most: int
    window: int
    distance_decay: float
    backward: float
    user_power: float
    within_days: float | None
    half_life_days: float | None
    as_of: int
    n_items: int = 0
    blocks: int = 1

    def pieces(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pair the touches of a partition that holds whole sequences (`u, idx, at, step`), as `SCHEMA` says."""
        for some in sequences(batches, most=self.most, rows=max(1, _MADE // (2 * self.window))):
            yield from self._packed(*self._added(*self._pairs(some)))

    def _pairs(self, some: Sequences) -> tuple[Ints, Ints, Ints]:
        """Owner, source x width + target, and value of each step, forward and backward."""
        width, share = self.n_items + 1, np.maximum(some.sizes, 1).astype(np.float64) ** -self.user_power
        parts = []
        for distance in range(1, self.window + 1):
            before = np.arange(max(0, len(some.item) - distance))
            after = before + distance
            near = (some.owner[before] == some.owner[after]) & (some.item[before] != some.item[after])
            if self.within_days is not None:
                near &= some.start[after] - some.end[before] <= self.within_days * _DAY
            before, after = before[near], after[near]
            owner, first, then = some.owner[before], some.item[before], some.item[after]
            counts = share[owner] * self.distance_decay ** (distance - 1) * self._fresh(some.start[after])
            for source, target, weight in ((first, then, 1.0), (then, first, self.backward)):
                if weight:
                    parts.append((owner, source * width + target, np.rint(counts * weight * UNIT).astype(np.int64)))
        owner, pair, value = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return owner, pair, value

    def _fresh(self, at: Ints) -> Floats:
        if self.half_life_days is None:
            return np.ones(len(at))
        age = np.maximum(self.as_of - at, 0) / _DAY
        return np.asarray(0.5 ** (age / self.half_life_days))

    def _added(self, owner: Ints, pair: Ints, value: Ints) -> tuple[Ints, Ints, Ints]:
        """Add up each pair: the pairs, ascending, their sums and how many sequences have them."""
        counts = np.flatnonzero(value)
        order = counts[np.lexsort((owner[counts], pair[counts]))]
        owner, pair, value = owner[order], pair[order], value[order]
        changed = pair[1:] != pair[:-1]
        anew = np.r_[True, changed | (owner[1:] != owner[:-1])][: len(pair)]
        first = np.flatnonzero(np.r_[True, changed][: len(pair)])
        if not len(first):
            return pair, value, value
        return pair[first], np.add.reduceat(value, first), np.add.reduceat(anew.astype(np.int64), first)

    def _packed(self, pair: Ints, total: Ints, support: Ints) -> Iterator[pa.RecordBatch]:
        """Pack pairs by the blocks of their sources."""
        source, target = np.divmod(pair, self.n_items + 1)
        block = block_of(source, self.blocks)
        order = np.argsort(block, kind="stable")
        ends = np.cumsum(np.bincount(block, minlength=self.blocks))
        rows = []
        for number, (start, end) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
            for at in range(int(start), int(end), _PIECE):
                mine = order[at : min(at + _PIECE, int(end))]
                narrow = (values[mine].astype(np.int32).tobytes() for values in (source, target, support))
                sources, targets, supports = narrow
                rows.append((number, sources, targets, total[mine].tobytes(), supports))
        if rows:
            types = (pa.int32(), *[pa.binary()] * 4)
            columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, names=_NAMES)


@dataclass(frozen=True)
class Successors:
    """Lists what follows the items of a block.

    Attributes
    ----------
    keep : int
        Successors per item.
    min_support : int
        Fewest sequences that have a pair.
    formula : Formula
        Discounts popular items, and pairs of few sequences.
    """

    keep: int
    min_support: int
    formula: Formula

    def lists(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make the lists of every block of a partition that is sorted by `block`; their schema is that of neighbors."""
        for table in whole_blocks(batches):
            index = Index.of(table.filter(pc.is_valid(table["counts"])))
            yield self.of(table.filter(pc.is_valid(table["sources"])), index)

    def of(self, pairs: pa.Table, index: Index) -> pa.RecordBatch:
        """Make the lists of a block."""
        source, target, total, support = _summed(pairs, len(index.counts))
        # What has no count was touched with a weight of nothing, and has no name here.
        kept = np.flatnonzero((support >= self.min_support) & (index.counts[source] > 0) & (index.counts[target] > 0))
        source, target, total, support = source[kept], target[kept], total[kept], support[kept]
        of_source, of_target = index.counts[source], index.counts[target]
        score = self.formula.scores(total / UNIT, support, of_source, of_target, Population(0, 0.0))
        return index.lists(source, target, score, support, self.keep)


def _summed(pairs: pa.Table, width: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Add up the pieces of each pair of items below `width`: source, target, sum and support, by source."""
    source, target = unpacked(pairs["sources"]), unpacked(pairs["targets"])
    listed = np.flatnonzero((source < width) & (target < width))
    pair = source[listed] * width + target[listed]
    order = np.argsort(pair, kind="stable")
    pair, listed = pair[order], listed[order]
    first = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]][: len(pair)])
    if not len(first):
        return pair, pair, pair, pair
    total, support = unpacked(pairs["totals"], np.int64)[listed], unpacked(pairs["supports"])[listed]
    source, target = np.divmod(pair[first], width)
    return source, target, np.add.reduceat(total, first), np.add.reduceat(support, first)
