"""What a graph or cells cost and find beside looking at every item: `benchmarks.topk --hnsw`, without Spark.

Items lie around centers, 500 to a center; the lengths of their vectors vary (sigma of their logarithm .3); users are
near an item. Every user has seen half of their 100 best items. All with one thread, CPU-seconds of this process:

- `flat`: faiss's flat index, which fetches 100 items and leaves out those that were seen.
- `exact`, `hnsw`, `ivf`, …: `nearest` without a graph, with one, and with cells, the seen items excluded. A graph of
  many items takes long to build: `--ways` says which are compared.

`<way>_speedup` is flat over the way, `<way>_recall` the share of the exact lists that it finds, `build_cpu_s` what it
takes before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np

from recsys.retrieval.als.retriever import Als
from recsys.retrieval.kernels import Excluded, Proposals
from recsys.retrieval.vectors.cells import Cells
from recsys.retrieval.vectors.graph import Approximate, Graph, nearest
from recsys.retrieval.vectors.search import ItemMatrix

PER_CENTER, SEEN = 500, 50
WAYS: dict[str, Callable[[ItemMatrix], Graph | Cells]] = {
    "hnsw": lambda items: Graph.of(items, width=Als().hnsw_width),
    "ivf": lambda items: Cells.of(items, probes=Als().ivf_probes, codes=Als().ivf_codes),
    "ivf-float32": lambda items: Cells.of(items, probes=Als().ivf_probes, codes="float32"),
    "ivf-int8": lambda items: Cells.of(items, probes=Als().ivf_probes, codes="int8"),
}


def made(n_items: int, n_users: int, rank: int) -> tuple[ItemMatrix, Any]:
    """Draw items and users from a fixed seed."""
    random = np.random.default_rng(7)
    centers = random.normal(size=(max(1, n_items // PER_CENTER), rank)).astype(np.float32)
    items = centers[random.integers(0, len(centers), n_items)]
    items += 0.7 * random.normal(size=items.shape).astype(np.float32)
    items *= random.lognormal(0, 0.3, (n_items, 1)).astype(np.float32)
    users = items[random.choice(n_items, n_users)] + 0.5 * random.normal(size=(n_users, rank)).astype(np.float32)
    return ItemMatrix(np.arange(n_items, dtype=np.int64), items), users.astype(np.float32)


def compare(n_items: int, n_users: int, rank: int, k: int, ways: Sequence[str]) -> dict[str, Any]:
    """Search the same lists in several ways."""
    faiss.omp_set_num_threads(1)
    items, users = made(n_items, n_users, rank)
    every = np.arange(n_users, dtype=np.int64)
    flat = faiss.IndexFlatIP(rank)
    flat.add(items.vectors)
    before = time.process_time()
    _, best = flat.search(users, k + SEEN)
    flat_s = time.process_time() - before
    who, item = np.repeat(every, SEEN), best[:, : 2 * SEEN : 2].ravel()

    def timed(graph: Approximate | None) -> tuple[float, Proposals]:
        excluded = Excluded(who, item, n_users, n_items)
        began = time.process_time()
        found = nearest(items, graph, every, users, k=k, excluded=excluded)
        return time.process_time() - began, found

    exact_s, exact = timed(None)
    seconds, builds, sizes = {"flat": flat_s, "exact": exact_s}, {}, {}
    figures: dict[str, Any] = {"items": n_items}
    for way in ways:
        before = time.process_time()
        graph = WAYS[way](items)
        builds[way] = round(time.process_time() - before, 1)
        graph.near(users[:1], 1)
        seconds[way], found = timed(graph)
        same = np.isin(found.user * n_items + found.item, exact.user * n_items + exact.item)
        sizes[way] = len(graph.written) / 2**20
        figures |= {
            f"{way}_recall": round(float(same.sum() / len(exact.user)), 4),
            f"{way}_speedup": round(flat_s / seconds[way], 1),
            f"{way}_speedup_vs_exact": round(exact_s / seconds[way], 1),
        }
    return figures | {
        "ms_per_user": {name: round(1000 * s / n_users, 3) for name, s in seconds.items()},
        "build_cpu_s": builds,
        "mb": {way: round(size) for way, size in sizes.items()},
    }
