"""Approximate top-k by inner product: a graph of near items (HNSW, by faiss) finds candidates, float64 decides.

Malkov & Yashunin, Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable Small World
Graphs (TPAMI 2020). Links are chosen by inner products of vectors that were shortened to the fourth root of their
length, and followed by inner products of the vectors as they are. Where the latter choose links, none lead to short
vectors: on 20,000 clustered vectors of 64 numbers whose lengths vary (sigma of their logarithm .3), .69 of the ranks
101 to 120 are found that way, and .96 this way. One more coordinate, by which distances order vectors as inner products
do, stretches the space where there are long vectors, and found less than half.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.retrieval.kernels import Excluded, Ints, Proposals, nothing, ranks_within, where_in
from recsys.retrieval.vectors.search import Found, ItemMatrix, Vectors, products, search

LINKS = 32
"""Links of an item to others, in each direction; twice as many on the lowest level."""
_BUILD_WIDTH = 100
"""Items that are looked at to choose the links of a new one."""
_LONGEST = 4096
"""Users who need more candidates than this are searched for exactly."""


def available() -> bool:
    """Say whether faiss is installed here."""
    return find_spec("faiss") is not None


def graph_bytes(n_items: int, width: int) -> int:
    """Estimate the size of a graph: its own copy of the vectors, and the links."""
    return n_items * (4 * width + 8 * LINKS + 24)


class Approximate(Protocol):
    """What proposes items that may be among the best: a graph, or cells."""

    def near(self, vectors: Vectors, n: int) -> NDArray[np.int64]:
        """Find about the `n` rows with the largest inner products for each vector; -1 where there are fewer."""
        ...


@dataclass
class Graph:
    """Links between the rows of an `ItemMatrix`.

    Attributes
    ----------
    written : bytes
        The index as faiss writes it: what travels to a worker, which reads it once.
    width : int
        Items that a search keeps in view at least: more find more, and cost more.
    """

    written: bytes
    width: int

    @classmethod
    def of(cls, items: ItemMatrix, *, width: int) -> Graph:
        """Link items, one after the other on one thread, so that equal vectors give equal links.

        That takes as many times longer as there are idle cores. The last bits of a product depend on the
        instructions that a processor has, so another kind of machine may choose other links.
        """
        faiss = library()
        with one_thread():
            index = faiss.IndexHNSWFlat(items.vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = _BUILD_WIDTH
            index.add(_shortened(items.vectors))
            stored = faiss.downcast_index(index.storage)
            stored.reset()
            stored.add(items.vectors)
            return cls(faiss.serialize_index(index).tobytes(), width)

    @cached_property
    def _index(self) -> Any:
        return library().deserialize_index(np.frombuffer(self.written, np.uint8))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the index as it is in memory: it does not pickle."""
        return {"written": self.written, "width": self.width}

    def near(self, vectors: Vectors, n: int) -> NDArray[np.int64]:
        """Find about the `n` rows with the largest inner products for each vector; -1 where there are fewer."""
        faiss = library()
        with one_thread():
            # Half as many again, or the last of a long list are found by luck.
            params = faiss.SearchParametersHNSW(efSearch=max(self.width, n + n // 2))
            _, rows = self._index.search(np.ascontiguousarray(vectors), n, params=params)
        return np.asarray(rows, dtype=np.int64)


def nearest(
    items: ItemMatrix, graph: Approximate | None, users: Ints, vectors: Vectors, *, k: int, excluded: Excluded
) -> Proposals:
    """Top-k by a graph or cells where there are any: nearly all that `search` finds, scored and ordered as there.

    A user is given candidates for `k` items beside those that are excluded for them. Whoever has fewer than `k` left
    after that, or would need very many, is searched for exactly, so that every list is as long as an exact one. A
    user's list does not depend on the other users.

    Parameters
    ----------
    users : int array
        Rows of the batch that the vectors belong to, ascending.
    """
    if graph is None or not len(users) or not len(items.positions):
        return search(items, users, vectors, k=k, excluded=excluded)
    who, item = excluded.among(users)
    away = np.bincount(who[where_in(items.positions, item) >= 0], minlength=len(users))
    most = np.minimum(k, len(items.positions) - away)
    # Powers of 2, so that users with about as many exclusions are searched for together.
    wanted = 1 << np.ceil(np.log2(k + away + 1)).astype(np.int64)
    exact = wanted > min(_LONGEST, len(items.positions))
    parts: list[Found] = []
    for n in np.unique(wanted[~exact]):
        mine = np.flatnonzero((wanted == n) & ~exact)
        found = _near(items, graph, users[mine], vectors[mine], int(n), k, excluded)
        full = np.bincount(found[0], minlength=len(mine)) >= most[mine]
        exact[mine[~full]] = True
        kept = full[found[0]]
        parts.append((users[mine[found[0][kept]]], found[1][kept], found[2][kept]))
    rest = np.flatnonzero(exact)
    others = search(items, users[rest], vectors[rest], k=k, excluded=excluded) if len(rest) else nothing()
    return Proposals.of([*parts, (others.user, others.item, others.score)])


def _near(
    items: ItemMatrix, graph: Approximate, users: Ints, vectors: Vectors, n: int, k: int, excluded: Excluded
) -> Found:
    """The best `k` of `n` candidates of each user that are not excluded: places in `users`, positions, scores."""
    row = graph.near(vectors, n)
    place = np.repeat(np.arange(len(users)), n)
    row = row.ravel()
    known = np.flatnonzero(row >= 0)
    free = known[~excluded.has(users[place[known]], items.positions[row[known]])]
    place, row = place[free], row[free]
    score = products(items.vectors, vectors, row, place)
    order = np.lexsort((row, -score, place))
    order = order[ranks_within(place[order]) <= k]
    return place[order], items.positions[row[order]], score[order]


def recall(items: ItemMatrix, graph: Approximate, vectors: Vectors, *, k: int) -> float:
    """Share of the exact lists of some users that a graph or cells find."""
    users = np.arange(len(vectors), dtype=np.int64)
    size = int(items.positions.max(initial=0)) + 1
    none = Excluded(users[:0], users[:0], len(users), size)
    exact, found = (nearest(items, one, users, vectors, k=k, excluded=none) for one in (None, graph))
    same = np.isin(found.user * size + found.item, exact.user * size + exact.item)
    return float(same.sum() / max(1, len(exact.user)))


def _shortened(vectors: Vectors) -> Vectors:
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(length > 0, length, 1.0) ** 0.75, dtype=np.float32)


def library() -> Any:
    """Return faiss, loaded where it is used: it is optional."""
    import faiss

    return faiss


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread of faiss in a block: tasks already run side by side."""
    faiss = library()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
