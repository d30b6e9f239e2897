"""The union of all retrievers, per user in one pass: ALS, neighbours of recent items, popularity.

While everything that is known of items fits the broadcast limit, one `mapInArrow` over users makes the three lists,
drops what is seen or unavailable and unites them; the only shuffles are by user. Above the limit each retriever's rows
are made by joins and blocks and united by a group-by (`recsys.retrieval.union`). Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.progress import note
from recsys.retrieval import blobs, kernels, union
from recsys.retrieval.catalog import Catalog, load_catalog, size_in_bytes
from recsys.retrieval.users import packed
from recsys.tables import RETRIEVERS

_ENTRIES = 1 << 20
"""Neighbour entries that one kernel call may have to add up; sets how many users it works on."""


@dataclass(frozen=True)
class Sources:
    """What the retrievers know, as frames.

    Attributes
    ----------
    user_factors, item_factors : DataFrame, optional
        `user_id, factors` and `item_id, factors`; both None where ALS was not fitted.
    neighbors : DataFrame
        `item_id, neighbor_id, score`.
    popular : DataFrame
        `segment, rank, item_id, score`.
    item_index : DataFrame
        `item_id, idx`.
    unavailable : DataFrame, optional
        `item_id` of what must not be proposed.
    """

    neighbors: DataFrame
    popular: DataFrame
    item_index: DataFrame
    user_factors: DataFrame | None = None
    item_factors: DataFrame | None = None
    unavailable: DataFrame | None = None


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


def candidates(
    people: DataFrame, histories: DataFrame, sources: Sources, asked: Asked, *, broadcast_limit_mb: float = 256
) -> DataFrame:
    """Propose items for each user.

    Parameters
    ----------
    people : DataFrame
        `user_id, segment`; distinct users.
    histories : DataFrame
        `user_id, item_id, weight, last_time, seen`; everything strictly before the instant.
    broadcast_limit_mb : float
        Above it nothing that grows with items is broadcast.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, sources, ranks, scores, because_item_id`; at most `k` rows per user.
    """
    eligible = without_unavailable(sources)
    size = size_in_bytes(eligible)
    if size > broadcast_limit_mb * blobs.MEGABYTE:
        note(f"items take {size / blobs.MEGABYTE:.0f} MB, above spark.broadcast_limit_mb: candidates are made by joins")
        return union.by_rows(people, histories, eligible, asked, broadcast_limit_mb=broadcast_limit_mb)
    rows = packed(people, histories, sources.item_index, sources.user_factors)
    catalog = people.sparkSession.sparkContext.broadcast(load_catalog(eligible))
    return rows.mapInArrow(_proposer(catalog, asked), union.SCHEMA)


def without_unavailable(sources: Sources) -> Sources:
    """Drop what must not be proposed from every source; as an origin of neighbours it stays."""
    if sources.unavailable is None:
        return sources
    gone = sources.unavailable.select("item_id").distinct()
    factors = sources.item_factors
    return Sources(
        neighbors=sources.neighbors.join(
            gone.select(F.col("item_id").alias("neighbor_id")), on="neighbor_id", how="left_anti"
        ),
        popular=sources.popular.join(gone, on="item_id", how="left_anti"),
        item_index=sources.item_index,
        user_factors=sources.user_factors,
        item_factors=None if factors is None else factors.join(gone, on="item_id", how="left_anti"),
    )


def _proposer(
    catalog: Broadcast[Catalog], asked: Asked
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
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
    united = kernels.fuse(found, asked.weight_list(), rrf_k=asked.rrf_k, k=asked.k, n_items=n_items)
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


def _to_arrow(united: kernels.Union, user_ids: pa.Array, item_ids: pa.Array) -> pa.RecordBatch:
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
        names=union.COLUMNS,
    )
