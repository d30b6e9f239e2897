"""What a graph costs and finds beside looking at every item: the part of `benchmarks.topk --hnsw`, without Spark.

Items lie around centers, 500 to a center; the lengths of their vectors vary (sigma of their logarithm .3); users are
near an item. Every user has seen half of their 100 best items. All with one thread, CPU-seconds of this process:

- `flat`: faiss's flat index, which fetches 100 items and leaves out those that were seen.
- `exact`, `hnsw`: `nearest` without a graph and with one, the seen items excluded.

`hnsw_speedup` is flat over hnsw, `hnsw_speedup_vs_exact` exact over hnsw, `hnsw_recall` the share of the exact lists
that the graph finds. `build_cpu_s` is what the graph takes before.
"""

from __future__ import annotations

import time
from typing import Any

import faiss
import numpy as np

from recsys.retrieval.als.retriever import Als
from recsys.retrieval.kernels import Excluded, Proposals
from recsys.retrieval.vectors.graph import Graph, graph_bytes, nearest
from recsys.retrieval.vectors.search import ItemMatrix

PER_CENTER, SEEN = 500, 50


def made(n_items: int, n_users: int, rank: int) -> tuple[ItemMatrix, Any]:
    """Draw items and users from a fixed seed."""
    random = np.random.default_rng(7)
    centers = random.normal(size=(max(1, n_items // PER_CENTER), rank)).astype(np.float32)
    items = centers[random.integers(0, len(centers), n_items)]
    items += 0.7 * random.normal(size=items.shape).astype(np.float32)
    items *= random.lognormal(0, 0.3, (n_items, 1)).astype(np.float32)
    users = items[random.choice(n_items, n_users)] + 0.5 * random.normal(size=(n_users, rank)).astype(np.float32)
    return ItemMatrix(np.arange(n_items, dtype=np.int64), items), users.astype(np.float32)


def compare(n_items: int, n_users: int, rank: int, k: int) -> dict[str, Any]:
    """Search the same lists three ways."""
    faiss.omp_set_num_threads(1)
    items, users = made(n_items, n_users, rank)
    every = np.arange(n_users, dtype=np.int64)
    flat = faiss.IndexFlatIP(rank)
    flat.add(items.vectors)
    before = time.process_time()
    _, best = flat.search(users, k + SEEN)
    flat_s = time.process_time() - before
    who, item = np.repeat(every, SEEN), best[:, : 2 * SEEN : 2].ravel()

    def timed(graph: Graph | None) -> tuple[float, Proposals]:
        excluded = Excluded(who, item, n_users, n_items)
        began = time.process_time()
        found = nearest(items, graph, every, users, k=k, excluded=excluded)
        return time.process_time() - began, found

    before = time.process_time()
    graph = Graph.of(items, width=Als().hnsw_width)
    build_s = time.process_time() - before
    graph.near(users[:1], 1)
    exact_s, exact = timed(None)
    hnsw_s, found = timed(graph)
    same = np.isin(found.user * n_items + found.item, exact.user * n_items + exact.item)
    return {
        "items": n_items,
        "hnsw_recall": round(float(same.sum() / len(exact.user)), 4),
        "hnsw_speedup": round(flat_s / hnsw_s, 1),
        "hnsw_speedup_vs_exact": round(exact_s / hnsw_s, 1),
        "ms_per_user": {
            name: round(1000 * s / n_users, 3) for name, s in (("flat", flat_s), ("exact", exact_s), ("hnsw", hnsw_s))
        },
        "build_cpu_s": round(build_s, 1),
        "graph_mb": round(len(graph.written) / 2**20),
        "graph_mb_estimated": round(graph_bytes(n_items, rank) / 2**20),
    }
