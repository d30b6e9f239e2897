"""Metrics of one list, written from their definitions with plain Python: the oracle of the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from itertools import combinations


def recall(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    return len({item for rank, item in ranks.items() if rank <= k} & relevant) / len(relevant)


def precision(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    return len({item for rank, item in ranks.items() if rank <= k} & relevant) / k


def hit_rate(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    return 1.0 if recall(ranks, relevant, k) > 0 else 0.0


def mrr(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    hits = [rank for rank, item in ranks.items() if rank <= k and item in relevant]
    return 1.0 / min(hits) if hits else 0.0


def ndcg(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    dcg = sum(1.0 / math.log2(rank + 1) for rank, item in ranks.items() if rank <= k and item in relevant)
    return dcg / sum(1.0 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))


def average_precision(ranks: Mapping[int, str], relevant: Set[str], k: int) -> float:
    total = 0.0
    for rank in range(1, k + 1):
        if ranks.get(rank) in relevant:
            so_far = [item for other, item in ranks.items() if other <= rank and item in relevant]
            total += len(so_far) / rank
    return total / min(len(relevant), k)


def novelty(ranks: Mapping[int, str], information: Mapping[str, float], k: int) -> float | None:
    bits = [information[item] for rank, item in ranks.items() if rank <= k]
    return sum(bits) / len(bits) if bits else None


def diversity(ranks: Mapping[int, str], category: Mapping[str, str | None], k: int) -> float | None:
    known = [category[item] for rank, item in ranks.items() if rank <= k and category[item] is not None]
    pairs = list(combinations(known, 2))
    return sum(a != b for a, b in pairs) / len(pairs) if pairs else None
