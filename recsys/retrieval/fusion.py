"""Proposals of several retrievers made one list, in numpy: no Spark, no state, one thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.retrieval.blend import Blend
from recsys.retrieval.kernels import Floats, Ints, Proposals, best


@dataclass(frozen=True)
class Union:
    """The union of proposals: one row per user and item by user and rank; its entries are per retriever.

    Attributes
    ----------
    because : int array
        Position of the causing item, -1 where no retriever names one.
    lengths : int array
        How many retrievers proposed each row.
    names : list of str
        The retrievers, ascending.
    maker, maker_rank, maker_score : arrays
        Of each entry, by row and then by name: the retriever (a place in `names`), its rank and its score.
    """

    user: Ints
    item: Ints
    rank: Ints
    score: Floats
    because: Ints
    lengths: Ints
    names: list[str]
    maker: Ints
    maker_rank: Ints
    maker_score: Floats


def fuse(proposals: Mapping[str, Proposals], blend: Blend, *, k: int, n_items: int) -> Union:
    """Unite proposals: an item's score is the sum of what each of them adds to it.

    Where several retrievers name a cause, the cause of the one with the largest share of the score stands, of equals
    the first by name.

    Parameters
    ----------
    proposals : mapping by the name of the retriever
    blend : Blend
        What a proposal adds.
    """
    names = sorted(proposals)
    parts = [proposals[name] for name in names]
    key = np.concatenate([p.user * n_items + p.item for p in parts])
    maker = np.repeat(np.arange(len(names)), [len(p.user) for p in parts])
    because = np.concatenate([np.full(len(p.user), -1) if p.because is None else p.because for p in parts])
    order = np.argsort(key, kind="stable")
    rank = np.concatenate([p.rank for p in parts])[order]
    raw = np.concatenate([p.score for p in parts])[order]
    shares = [blend.shares(name, part.user, part.rank, part.score) for name, part in zip(names, parts, strict=True)]
    key, maker, because, share = key[order], maker[order], because[order], np.concatenate(shares)[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[first, len(key)]).astype(np.int64)
    group = np.repeat(np.arange(len(first)), lengths)
    score = np.bincount(group, weights=share, minlength=len(first)).astype(np.float64)
    user, item = np.divmod(key[first], n_items)
    chosen, place = best(user, item, score, k)
    cause = _causes(because, share, first, group)[chosen]
    spans = lengths[chosen]
    entry = np.repeat(first[chosen] - (np.cumsum(spans) - spans), spans) + np.arange(int(spans.sum()))
    return Union(
        user[chosen], item[chosen], place, score[chosen], cause, spans, names, maker[entry], rank[entry], raw[entry]
    )


def _causes(because: Ints, share: Floats, first: Ints, group: Ints) -> Ints:
    """The cause of each group: of its entry with the largest share among those that name one, the first of equals."""
    found = np.full(len(first), -1, dtype=np.int64)
    named = np.flatnonzero(because >= 0)
    # The last one written stays: by share, and the later of equals before the earlier.
    order = named[np.lexsort((-named, share[named]))]
    found[group[order]] = because[order]
    return found
