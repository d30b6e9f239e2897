"""Powers and smoothing of the generalized similarity on validation parts of published splits, without Spark.

    python -m benchmarks.similarities --data DIR [--users 1500]

A fifth of each training part is held out (`benchmarks.quality.protocols`); whole histories are multiplied as sparse
matrices, pairs of fewer than two users are dropped, and 200 neighbors are kept. What the defaults of `ItemItem` were
chosen by. The last line on stdout is one JSON object: recall@20 and NDCG@20 by split and setting.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.machine import describe
from benchmarks.quality.protocols import PROTOCOLS, Histories, a_fifth
from recsys.retrieval.item_item.retriever import ItemItem

SPLITS = ("lightgcn", "lcfn", "beibei-ehcf", "taobao-ehcf", "amazon-cds")
K, KEEP, LEAST = 20, 200, 2
BEFORE = ItemItem(source_power=0.5, target_power=0.35, smoothing=0.0)
"""The defaults until 0.7.0."""
SETTINGS = (
    BEFORE,
    *(
        ItemItem(source_power=a, target_power=c, smoothing=s)
        for a, c, s in ((0.75, 0.5, 20), (1, 0.5, 20), (1, 0.5, 40), (1, 0.6, 30), (1, 0.7, 20), (1, 0.7, 40))
    ),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the folder of the data sets")
    parser.add_argument("--users", type=int, default=1500, help="users that are judged, drawn by a fixed seed")
    flags = parser.parse_args()
    metrics: dict[str, list[float]] = {}
    for name in SPLITS:
        train, _ = PROTOCOLS[name].read(flags.data)
        for setting, figures in judged(*a_fifth(train), most=flags.users).items():
            metrics[f"{name} {setting}"] = figures
            sys.stderr.write(f"{name} {setting}: recall {figures[0]} ndcg {figures[1]}\n")
    print(json.dumps({"name": "similarities", "metrics": metrics, "machine": describe()}))


def judged(kept: Histories, held: Histories, *, most: int) -> dict[str, list[float]]:
    """Recall and NDCG of each setting."""
    users, column = sorted(kept), {item: at for at, item in enumerate(sorted({i for h in kept.values() for i in h}))}
    pairs = [(row, column[item]) for row, user in enumerate(users) for item in set(kept[user])]
    rows, columns = zip(*pairs, strict=True)
    touched = sp.csr_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(users), len(column)))
    asked = np.array([row for row, user in enumerate(users) if user in held])
    if len(asked) > most:
        asked = np.sort(np.random.default_rng(0).choice(asked, most, replace=False))
    together = (touched.T @ touched).tocsr()
    together.data = (together.data >= LEAST).astype(np.float64)
    share = np.asarray(touched.sum(axis=1)).ravel() ** -BEFORE.user_power
    common = (touched.T @ sp.diags(share) @ touched).multiply(together).tocsr()
    common.setdiag(0)
    common.eliminate_zeros()
    counts = np.asarray(touched.sum(axis=0)).ravel()
    truths = [{column.get(item, -1) for item in held[users[row]]} for row in asked]
    found = {}
    for one in SETTINGS:
        powers = [sp.diags((counts + one.smoothing) ** -power) for power in (one.source_power, one.target_power)]
        lists = strongest((powers[0] @ common @ powers[1]).tocsr())
        name = f"a={one.source_power:g} c={one.target_power:g} s={one.smoothing:g}"
        found[name] = figures(touched[asked], lists, truths)
    return found


def strongest(scores: Any) -> Any:
    """Keep the best neighbors of each item."""
    kept = np.zeros(scores.nnz, dtype=bool)
    for start, stop in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
        best = np.argsort(-scores.data[start:stop], kind="stable")[:KEEP]
        kept[start + best] = True
    scores.data = scores.data * kept
    return scores


def figures(histories: Any, lists: Any, truths: list[set[int]]) -> list[float]:
    """Mean recall and NDCG of the sums of similarities, items of the history left out."""
    gains = 1 / np.log2(np.arange(K) + 2)
    recall, ndcg = [], []
    for row, truth in enumerate(truths):
        scores = (histories[row] @ lists).toarray().ravel()
        scores[histories[row].indices] = -1.0
        hits = np.isin(np.argsort(-scores, kind="stable")[:K], list(truth))
        recall.append(hits.sum() / len(truth))
        ndcg.append((hits * gains).sum() / gains[: len(truth)].sum())
    return [round(float(np.mean(recall)), 4), round(float(np.mean(ndcg)), 4)]


if __name__ == "__main__":
    main()
