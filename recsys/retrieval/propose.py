"""One batch of users in, their candidates out: what each Python worker of the one pass runs.

Kept apart from the code that plans it, so that a worker does not import what only a driver needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyspark import Broadcast

from recsys.retrieval import blobs, fusion, kernels
from recsys.retrieval.catalog import Catalog
from recsys.tables import CANDIDATES, RETRIEVERS

COLUMNS = ["user_id", "item_id", "rank", "score", "sources", "ranks", "scores", "because_item_id"]
SCHEMA = ", ".join(f"{name} {CANDIDATES.column(name).type}" for name in COLUMNS)

_ENTRIES = 1 << 16
"""Neighbour entries that one kernel call adds up, which sets how many users it works on: what stays in a core's
cache takes two thirds of the time that sixteen times as many take."""


@dataclass(frozen=True)
class Asked:
    """How much is asked of whom; see `recsys.config.sections.CandidatesConfig`."""

    k: int = 100
    als_k: int = 100
    neighbors_k: int = 100
    popular_k: int = 50
    recent_items: int = 20
    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(RETRIEVERS, 1.0))
    rrf_k: float = 10.0
    exclude_seen: bool = True

    def weight_list(self) -> list[float]:
        """Weights in the order of `RETRIEVERS`; a retriever without one has 0."""
        return [float(self.weights.get(name, 0.0)) for name in RETRIEVERS]


def proposer(
    catalog: Broadcast[Catalog], asked: Asked
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Make the function that `mapInArrow` runs; its input rows are those of `recsys.retrieval.users.packed`."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        here = catalog.value
        users = int(np.clip(_ENTRIES // (asked.recent_items * here.widest + 1), 32, 1024))
        for batch in batches:
            for start in range(0, batch.num_rows, users):
                yield _propose(here, batch.slice(start, users), asked)

    return run


def _propose(catalog: Catalog, batch: pa.RecordBatch, asked: Asked) -> pa.RecordBatch:
    n_users, n_items = batch.num_rows, max(1, len(catalog.ids))
    lengths, idx = blobs.flat(batch["idx"])
    user = np.repeat(np.arange(n_users), lengths)
    item = catalog.positions(idx.to_numpy(zero_copy_only=False))
    weight = blobs.flat(batch["weight"])[1].to_numpy(zero_copy_only=False)
    seen = blobs.flat(batch["seen"])[1].to_numpy(zero_copy_only=False).astype(np.bool_) & asked.exclude_seen
    excluded = kernels.Excluded(user[seen], item[seen], n_users, n_items)
    known = np.flatnonzero(batch["factors"].is_valid().to_numpy(zero_copy_only=False))
    found = [
        kernels.search(
            catalog.items, known, blobs.matrix(batch["factors"].take(pa.array(known))), k=asked.als_k, excluded=excluded
        ),
        kernels.follow(
            catalog.neighbors,
            *_recent(user, item, weight, asked.recent_items),
            k=asked.neighbors_k,
            excluded=excluded,
        ),
        kernels.take_listed(catalog.lists, catalog.list_of(batch["segment"]), k=asked.popular_k, excluded=excluded),
    ]
    united = fusion.fuse(found, asked.weight_list(), rrf_k=asked.rrf_k, k=asked.k, n_items=n_items)
    return _to_arrow(united, batch["user_id"], catalog.ids)


def _recent(
    user: kernels.Ints, item: kernels.Ints, weight: kernels.Floats, n: int
) -> tuple[kernels.Ints, kernels.Ints, kernels.Floats]:
    """The first `n` items of interest of each user, with their share of the largest weight among them."""
    liked = np.flatnonzero(weight > 0)
    liked = liked[kernels.ranks_within(user[liked]) <= n]
    user, item, weight = user[liked], item[liked], weight[liked]
    if len(user):
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        largest = np.maximum.reduceat(weight, first)
        weight = weight / np.repeat(largest, np.diff(np.r_[first, len(user)]))
    known = item >= 0
    return user[known], item[known], weight[known]


def _to_arrow(united: fusion.Union, user_ids: pa.Array, item_ids: pa.Array) -> pa.RecordBatch:
    offsets = pa.array(np.r_[0, np.cumsum(united.lengths)], pa.int32())
    names = pa.array(RETRIEVERS, pa.string()).take(pa.array(united.source))
    ranks = pa.array(united.source_rank, pa.int32())
    cause = pa.array(united.because, mask=united.because < 0)
    return pa.RecordBatch.from_arrays(
        [
            user_ids.take(pa.array(united.user)),
            item_ids.take(pa.array(united.item)),
            pa.array(united.rank, pa.int32()),
            pa.array(united.score),
            pa.ListArray.from_arrays(offsets, names),
            pa.MapArray.from_arrays(offsets, names, ranks),
            pa.MapArray.from_arrays(offsets, names, pa.array(united.source_score)),
            item_ids.take(cause),
        ],
        names=COLUMNS,
    )
