"""Pairs of a block of items, counted by sparse products: the numpy and scipy part, which runs in Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from recsys.arrow import whole_groups
from recsys.retrieval.kernels import Floats, Ints, best, near_best
from recsys.retrieval.neighborhoods.histories import block_of, mixed
from recsys.retrieval.neighborhoods.similarity import UNIT, Formula, Population

SCHEMA = "item_id string, rank int, neighbor_id string, score double, support bigint"
_PRODUCTS = 1 << 20
"""Products that are added up at once, which bounds the memory of a slice of items. Of four times as many, the sums no
longer stay in a core's cache, which took a third more time; of a quarter, the calls themselves begin to count."""
_SUM_BITS = 63


@dataclass(frozen=True)
class Neighbors:
    """Finds the neighbors of whole blocks.

    Attributes
    ----------
    keep : int
        Neighbors per item.
    min_support : int
        Fewest users in common.
    formula : Formula
        How similar two items are.
    blocks : int
        How many blocks there are.
    """

    keep: int
    min_support: int
    formula: Formula
    blocks: int

    def lists(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make the lists of every block of a partition that is sorted by `block`."""
        for table in whole_blocks(batches):
            yield from self.of(Block.of(table, self.blocks))

    def of(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Make the lists of a block, slice by slice of its items."""
        for rows in block.slices():
            source, target, total, support = block.pairs(rows, self.min_support)
            counts = block.index.counts
            score = self.formula.scores(total, support, counts[source], counts[target], block.population)
            yield block.index.lists(source, target, score, support, self.keep)


@dataclass(frozen=True)
class Index:
    """The items that a block may name.

    Attributes
    ----------
    counts : int array
        Users of every item, by its number; 0 for numbers that no item has.
    names, places : Arrow array of str, int array
        Ids of items, and the place of each number among them.
    """

    counts: Ints
    names: pa.Array
    places: Ints

    @classmethod
    def of(cls, listed: pa.Table) -> Index:
        """Read the pieces that `Counted` made; their order changes nothing."""
        number, n = unpacked(listed["items"]), unpacked(listed["counts"])
        counts, places = np.zeros(1 + number.max(initial=0), np.int64), np.zeros(1 + number.max(initial=0), np.int64)
        counts[number], places[number] = n, np.arange(len(number))
        ids = [names.flatten() for names in listed["names"].chunks]
        return cls(counts, pa.concat_arrays([pa.array([], pa.string()), *ids]), places)

    def name(self, number: Ints) -> pa.Array:
        """Ids of items by their numbers."""
        return self.names.take(pa.array(self.places[number]))

    def lists(self, source: Ints, target: Ints, score: Floats, support: Ints, keep: int) -> pa.RecordBatch:
        """List the `keep` best targets of each source (ascending) with a score above 0, as `SCHEMA` says."""
        kept = near_best(source, score, keep)
        kept = kept[score[kept] > 0]
        source, target, score, support = source[kept], target[kept], score[kept], support[kept]
        # Of equals those that a hash of the pair picks: an order by id would give every list the same ones.
        chosen, rank = best(source, mixed(source, target), score, keep)
        return pa.RecordBatch.from_arrays(
            [
                self.name(source[chosen]),
                pa.array(rank, pa.int32()),
                self.name(target[chosen]),
                pa.array(score[chosen]),
                pa.array(support[chosen]),
            ],
            names=["item_id", "rank", "neighbor_id", "score", "support"],
        )


@dataclass(frozen=True)
class Block:
    """Everything that is known of some items.

    Attributes
    ----------
    items : int array
        Numbers of the block's own items, ascending.
    mine : sparse int matrix
        Own items x users: how much a user's touch counts, and in the lowest `bits` one user.
    all : sparse int matrix
        Users x every item: ones, or marks where interactions decay.
    bits : int
        Lowest bits of a sum that hold the users in common; 0 where they have to be counted apart.
    index : Index
    population : Population
    """

    items: Ints
    mine: Any
    all: Any
    bits: int
    index: Index
    population: Population

    @classmethod
    def of(cls, table: pa.Table, blocks: int) -> Block:
        """Read the pieces of one block; the order of users does not change a sum."""
        index = Index.of(table.filter(pc.is_valid(table["counts"])))
        number = np.flatnonzero(index.counts)
        own = number[block_of(number, blocks) == int(table["block"][0].as_py())]
        mine, everything, bits = _matrices(table.filter(pc.is_valid(table["lengths"])), own, len(index.counts))
        mean = float(index.counts.sum()) / max(1, len(number))
        return cls(own, mine, everything, bits, index, Population(int(np.sum(table["users"].to_numpy())), mean))

    def slices(self) -> Iterator[slice]:
        """Cut the block's items so that each slice takes about `_PRODUCTS` products."""
        lengths = np.diff(self.all.indptr)
        work = np.r_[0, np.cumsum(lengths[self.mine.indices])][self.mine.indptr]
        start = 0
        while start < len(self.items):
            end = int(np.searchsorted(work, work[start] + _PRODUCTS, side="right")) - 1
            end = min(max(end, start + 1), len(self.items))
            yield slice(start, end)
            start = end

    def pairs(self, rows: slice, least: int) -> tuple[Ints, Ints, Floats, Ints]:
        """Pairs of a slice of own items with enough users in common: source, target, c and support, by source."""
        mine = self.mine[rows]
        product = mine @ self.all
        support = product.data & ((1 << self.bits) - 1) if self.bits else self._support(mine, product)
        source = np.repeat(self.items[rows], np.diff(product.indptr))
        kept = np.flatnonzero((support >= least) & (source != product.indices))
        target = product.indices[kept].astype(np.int64)
        return source[kept], target, (product.data[kept] >> self.bits) / UNIT, support[kept]

    def _support(self, mine: Any, product: Any) -> Ints:
        """Users in common of each entry of a product, in its order."""
        ones = sparse.csr_matrix((np.ones_like(mine.data), mine.indices, mine.indptr), shape=mine.shape)
        users = sparse.csr_matrix((np.ones_like(self.all.data), self.all.indices, self.all.indptr), self.all.shape)
        # The same patterns are multiplied in the same way, so that entries come in the same order.
        found: NDArray[np.int64] = (ones @ users).data
        assert len(found) == len(product.data)
        return found


def whole_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the pieces of each block of a partition that is sorted by `block`."""
    for table in whole_groups(batches, "block", rows=1):
        for number in np.unique(table["block"].to_numpy()):
            yield table.filter(pc.equal(table["block"], number))


def _matrices(touched: pa.Table, own: Ints, n_items: int) -> tuple[Any, Any, int]:
    """Own items x users, users x items, and the lowest bits of their product that count users."""
    lengths, items = unpacked(touched["lengths"]), unpacked(touched["items"])
    parts, marks = unpacked(touched["parts"]), unpacked(touched["marks"])
    values, bits = (marks, 0) if len(marks) else (np.repeat(parts, lengths), int(len(lengths)).bit_length())
    if bits and len(lengths) * UNIT < 1 << (_SUM_BITS - bits):
        values = (values << bits) + 1
    else:
        bits = 0
    place = np.full(n_items, -1, dtype=np.int64)
    place[own] = np.arange(len(own))
    entry = np.flatnonzero(place[items] >= 0)
    user = np.repeat(np.arange(len(lengths)), lengths)[entry]
    mine = sparse.csr_matrix((values[entry], (place[items[entry]], user)), shape=(len(own), len(lengths)))
    offsets = np.r_[0, np.cumsum(lengths, dtype=np.int64)]
    everything = marks if len(marks) else np.ones(len(items), np.int64)
    return mine, sparse.csr_matrix((everything, items, offsets), shape=(len(lengths), n_items)), bits


def unpacked(column: pa.ChunkedArray, dtype: type[np.signedinteger[Any]] = np.int32) -> Ints:
    """Put the packed integers of a column together as one array."""
    parts = [np.frombuffer(value, dtype=dtype) for value in column.to_pylist() if value is not None]
    return np.asarray(np.concatenate([np.zeros(0, dtype), *parts]), np.int64)
