"""Several sources' proposals made one list, in numpy: no Spark, no state, one thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.retrieval.kernels import Floats, Ints, Proposals, best


@dataclass(frozen=True)
class Union:
    """The union of several sources: one row per user and item by user and rank; its entries are per source.

    Attributes
    ----------
    because : int array
        Position of the causing item, -1 where no source names one.
    lengths : int array
        How many sources proposed each row.
    source, source_rank, source_score : arrays
        Of each entry, by row and then by source.
    """

    user: Ints
    item: Ints
    rank: Ints
    score: Floats
    because: Ints
    lengths: Ints
    source: Ints
    source_rank: Ints
    source_score: Floats


def fuse(sources: list[Proposals], weights: list[float], *, rrf_k: float, k: int, n_items: int) -> Union:
    """Unite sources by weighted reciprocal ranks: score = sum over sources of weight / (rrf_k + rank).

    See Cormack, Clarke, Buettcher: Reciprocal Rank Fusion (SIGIR 2009).
    """
    key = np.concatenate([p.user * n_items + p.item for p in sources])
    rank = np.concatenate([p.rank for p in sources])
    raw = np.concatenate([p.score for p in sources])
    source = np.repeat(np.arange(len(sources)), [len(p.user) for p in sources])
    because = np.concatenate([np.full(len(p.user), -1) if p.because is None else p.because for p in sources])
    order = np.argsort(key, kind="stable")
    key, rank, raw, source, because = key[order], rank[order], raw[order], source[order], because[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[first, len(key)]).astype(np.int64)
    group = np.repeat(np.arange(len(first)), lengths)
    score = np.bincount(group, weights=np.asarray(weights)[source] / (rrf_k + rank), minlength=len(first)).astype(
        np.float64
    )
    cause = np.maximum.reduceat(because, first) if len(first) else first
    user, item = np.divmod(key[first], n_items)
    chosen, place = best(user, item, score, k)
    spans = lengths[chosen]
    entry = np.repeat(first[chosen] - (np.cumsum(spans) - spans), spans) + np.arange(int(spans.sum()))
    return Union(
        user[chosen], item[chosen], place, score[chosen], cause[chosen], spans, source[entry], rank[entry], raw[entry]
    )
