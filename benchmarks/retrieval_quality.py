"""Recall@20 and NDCG@20 of each retriever on a published split of MovieLens 1M (full ranking, seen items excluded).

`python -m benchmarks.retrieval_quality --data DIR` where DIR holds `lcfn_train.txt.gz` and `lcfn_test.txt.gz`: a line
per user, the user and then their items. The split has no times, so neighbours start from whole histories. Lists come
from one pass of `candidates`, as in the job, and are told apart by the rank that each source gave.
The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import Meter, describe
from recsys.retrieval.als import AlsRetriever
from recsys.retrieval.base import Frames, persisted
from recsys.retrieval.candidates import Sources, candidates
from recsys.retrieval.neighbors import NeighborsRetriever
from recsys.retrieval.popular import PopularRetriever
from recsys.retrieval.propose import Asked
from recsys.spark import local_session
from recsys.tables import RETRIEVERS
from recsys.transforms.interactions import interactions

AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
EVENT = "user_id string, item_id string, event_type string, event_time timestamp, value double, is_bot boolean"
WEIGHTS = {"rating": 1.0}
FUSION = {"als": 1.0, "neighbors": 0.25}
K = 20


def pairs(path: Path) -> dict[str, list[str]]:
    """Read a split: items of each user."""
    with gzip.open(path, "rt") as lines:
        rows = [line.split() for line in lines]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


def to_frames(spark: SparkSession, train: dict[str, list[str]]) -> Frames:
    """Make the log and what retrievers learn from."""
    at = AS_OF - timedelta(days=1)
    rows = [(user, item, "rating", at, None, False) for user, items in train.items() for item in items]
    events = spark.createDataFrame(rows, EVENT)
    users = [(name, i) for i, name in enumerate(sorted(train), 1)]
    items = [(name, i) for i, name in enumerate(sorted({item for mine in train.values() for item in mine}), 1)]
    return Frames(
        as_of=AS_OF,
        events=events,
        interactions=interactions(events, as_of=AS_OF, weights=WEIGHTS),
        user_index=spark.createDataFrame(users, "user_id string, idx int"),
        item_index=spark.createDataFrame(items, "item_id string, idx int"),
    )


def judge(lists: dict[str, dict[int, str]], test: dict[str, list[str]]) -> dict[str, float]:
    """Mean recall and NDCG over the users of the test; who got nothing counts 0."""
    gains = 1 / np.log2(np.arange(K) + 2)
    recall, ndcg = [], []
    for user, truth in test.items():
        wanted, mine = set(truth), lists.get(user, {})
        hits = np.array([mine.get(rank) in wanted for rank in range(1, K + 1)])
        recall.append(hits.sum() / len(truth))
        ndcg.append((hits * gains).sum() / gains[: len(truth)].sum())
    return {"recall20": round(float(np.mean(recall)), 4), "ndcg20": round(float(np.mean(ndcg)), 4)}


def sources_of(frames: Frames, meter: Meter) -> tuple[Sources, dict[str, float]]:
    """Fit the three retrievers; what each cost."""
    costs: dict[str, float] = {}

    def cost(name: str, before: float) -> float:
        costs[f"{name}_fit_cpu_s"] = round(meter.cpu_seconds() - before, 1)
        return meter.cpu_seconds()

    now = meter.cpu_seconds()
    popular = PopularRetriever(k=500, weights=WEIGHTS).fit(frames).popular.localCheckpoint()
    now = cost("popular", now)
    neighbors = NeighborsRetriever().fit(frames).neighbors.localCheckpoint()
    now = cost("neighbors", now)
    als = AlsRetriever(rank=64, iterations=12, alpha=2.0, reg=0.1).fit(frames)
    cost("als", now)
    index = frames.need("item_index")
    return Sources(neighbors, popular, index, als.user_factors, als.item_factors), costs


def main() -> None:
    """Fit, propose once, judge each source and the union."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    train, test = pairs(folder / "lcfn_train.txt.gz"), pairs(folder / "lcfn_test.txt.gz")
    spark = local_session("retrieval_quality", cores=2, extra={"spark.driver.memory": "2g"})
    frames = to_frames(spark, train)
    people = spark.createDataFrame([(user, None) for user in test], "user_id string, segment string")
    asked = Asked(k=3 * K, als_k=K, neighbors_k=K, popular_k=K, recent_items=100_000, weights=FUSION)
    with Meter() as meter, persisted(frames.need("interactions")) as seen:
        sources, metrics = sources_of(frames, meter)
        before = meter.cpu_seconds()
        past = seen.withColumn("seen", F.lit(True))
        found = candidates(people, past, sources, asked).select("user_id", "item_id", "rank", "ranks").collect()
        metrics["candidates_cpu_s"] = round(meter.cpu_seconds() - before, 1)
    for name in (*RETRIEVERS, "union"):
        lists: dict[str, dict[int, str]] = {}
        for row in found:
            rank = row["rank"] if name == "union" else row["ranks"].get(name)
            lists.setdefault(row["user_id"], {})[rank] = row["item_id"]
        metrics |= {f"{name}_{key}": value for key, value in judge(lists, test).items()}
    print(json.dumps({"name": "retrieval_quality", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
