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
from recsys.retrieval.kernels import Floats, Ints, best
from recsys.retrieval.neighborhoods.histories import block_of, mixed
from recsys.retrieval.neighborhoods.similarity import UNIT, Formula, Population

SCHEMA = "item_id string, rank int, neighbor_id string, score double, support bigint"
_PRODUCTS = 1 << 22
"""Products that are added up at once, which bounds the memory of a slice of items."""
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
        for table in whole_groups(batches, "block", rows=1):
            for number in np.unique(table["block"].to_numpy()):
                yield from self.of(Block.of(table.filter(pc.equal(table["block"], number)), self.blocks))

    def of(self, block: Block) -> Iterator[pa.RecordBatch]:
        """Make the lists of a block, slice by slice of its items."""
        for rows in block.slices():
            source, target, total, support = block.pairs(rows, self.min_support)
            score = self.formula.scores(total, support, block.counts[source], block.counts[target], block.population)
            liked = np.flatnonzero(score > 0)
            source, target, score, support = source[liked], target[liked], score[liked], support[liked]
            # Of equals those that a hash of the pair picks: an order by id would give every list the same ones.
            chosen, rank = best(source, mixed(source, target), score, self.keep)
            yield pa.RecordBatch.from_arrays(
                [
                    block.name(source[chosen]),
                    pa.array(rank, pa.int32()),
                    block.name(target[chosen]),
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
    counts : int array
        Users of every item, by its number.
    names, places : Arrow array of str, int array
        Ids of items, and the place of each number among them.
    population : Population
    """

    items: Ints
    mine: Any
    all: Any
    bits: int
    counts: Ints
    names: pa.Array
    places: Ints
    population: Population

    @classmethod
    def of(cls, table: pa.Table, blocks: int) -> Block:
        """Read the pieces of one block; the order of users does not change a sum."""
        listed = table.filter(pc.is_valid(table["counts"]))
        number, n = _joined(listed["items"]), _joined(listed["counts"])
        counts, places = np.zeros(1 + number.max(initial=0), np.int64), np.zeros(1 + number.max(initial=0), np.int64)
        counts[number], places[number] = n, np.arange(len(number))
        block = int(table["block"][0].as_py())
        own = np.sort(number[block_of(number, blocks) == block])
        mine, everything, bits = _matrices(table.filter(pc.is_valid(table["lengths"])), own, len(counts))
        population = Population(int(np.sum(table["users"].to_numpy())), float(n.sum()) / max(1, len(n)))
        ids = [names.flatten() for names in listed["names"].chunks]
        names = pa.concat_arrays([pa.array([], pa.string()), *ids])
        return cls(own, mine, everything, bits, counts, names, places, population)

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
        kept = np.flatnonzero(support >= least)
        source = np.repeat(self.items[rows], np.diff(product.indptr))[kept]
        target = product.indices[kept].astype(np.int64)
        others = np.flatnonzero(source != target)
        kept = kept[others]
        return source[others], target[others], (product.data[kept] >> self.bits) / UNIT, support[kept]

    def _support(self, mine: Any, product: Any) -> Ints:
        """Users in common of each entry of a product, in its order."""
        ones = sparse.csr_matrix((np.ones_like(mine.data), mine.indices, mine.indptr), shape=mine.shape)
        users = sparse.csr_matrix((np.ones_like(self.all.data), self.all.indices, self.all.indptr), self.all.shape)
        # The same patterns are multiplied in the same way, so that entries come in the same order.
        found: NDArray[np.int64] = (ones @ users).data
        assert len(found) == len(product.data)
        return found

    def name(self, number: Ints) -> pa.Array:
        """Ids of items by their numbers."""
        return self.names.take(pa.array(self.places[number]))


def _matrices(touched: pa.Table, own: Ints, n_items: int) -> tuple[Any, Any, int]:
    """Own items x users, users x items, and the lowest bits of their product that count users."""
    lengths, items = _joined(touched["lengths"]), _joined(touched["items"])
    parts, marks = _joined(touched["parts"]), _joined(touched["marks"])
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


def _joined(column: pa.ChunkedArray) -> Ints:
    """Put the packed integers of a column together as one array."""
    parts = [np.frombuffer(value, dtype=np.int32) for value in column.to_pylist() if value is not None]
    return np.asarray(np.concatenate([np.zeros(0, np.int32), *parts]), np.int64)
