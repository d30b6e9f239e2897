"""Recall@20 and NDCG@20 of each retriever on a published split (full ranking, seen items excluded).

`python -m benchmarks.retrieval_quality --data DIR --protocol NAME [--only NAME ...]` where DIR holds the folders of
`PROTOCOLS`. The splits have no times, so neighbors start from whole histories. Lists come from one pass of
`candidates`, as in the job, and are separated by the rank that each source gave. The last line on stdout is one JSON
object.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import Meter, describe
from recsys.data.log import Log
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.candidates import candidates
from recsys.retrieval.ease.retriever import Ease
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import interactions
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.settings import CandidatesSettings, SignalSettings
from recsys.retrieval.user_user.retriever import UserUser
from recsys.spark import local_session

AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
EVENT = "user_id string, item_id string, event_type string, event_time timestamp, value double, is_bot boolean"
SIGNAL = SignalSettings(weights={"rating": 1.0})
K = 20
WHOLE = 100_000
"""More recent items than any history has."""


@dataclass(frozen=True)
class Protocol:
    """A published split, and the settings that suit it.

    Attributes
    ----------
    train, test : str
        Its files.
    retrievers : tuple of Retriever
        A weight of 0 leaves one out of the blend.
    by_pair : bool
        Whether the files have a line per user and item; else one per user, with all items behind the user.
    """

    train: str
    test: str
    retrievers: tuple[Retriever, ...]
    by_pair: bool = False


PROTOCOLS = {
    "lcfn": Protocol(
        "movielens-1m/lcfn_train.txt.gz",
        "movielens-1m/lcfn_test.txt.gz",
        (
            Popular(k=K, weight=0.0),
            ItemItem(k=K, weight=0.25, recent_items=WHOLE, max_history=200, source_power=1.0, target_power=0.7),
            Als(k=K, iterations=12, alpha=2.0),
            Ease(k=K, weight=0.0, recent_items=WHOLE, max_history=WHOLE, keep=1000),
            UserUser(k=K, weight=0.0),
        ),
    ),
    "lightgcn": Protocol(
        "lastfm-2k/lightgcn_data1.txt.gz",
        "lastfm-2k/lightgcn_test1.txt.gz",
        (
            Popular(k=K, weight=0.0),
            ItemItem(k=K, recent_items=WHOLE),
            Als(k=K),
            Ease(k=K, weight=0.0, recent_items=WHOLE, keep=1000),
            UserUser(k=K, weight=0.0),
        ),
        by_pair=True,
    ),
    "amazon-cds": Protocol(
        "amazon-cds/train.txt.gz",
        "amazon-cds/test.txt.gz",
        (
            Popular(k=K, weight=0.0),
            ItemItem(k=K, recent_items=WHOLE, max_history=1000, keep=200),
            Als(k=K, iterations=12, alpha=64.0, reg=0.3),
        ),
    ),
}


def histories(path: Path, *, by_pair: bool) -> dict[str, list[str]]:
    """Read a split: items of each user."""
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt") as lines:
        for user, *items in (line.split() for line in lines):
            found.setdefault(user, []).extend(items[:1] if by_pair else items)
    return {user: items for user, items in found.items() if items}


def log_of(spark: SparkSession, train: dict[str, list[str]]) -> Log:
    """Make the log, with its indexes."""
    at = AS_OF - timedelta(days=1)
    rows = [(user, item, "rating", at, None, False) for user, items in train.items() for item in items]
    users = [(name, i) for i, name in enumerate(sorted(train), 1)]
    items = [(name, i) for i, name in enumerate(sorted({item for mine in train.values() for item in mine}), 1)]
    return Log(
        spark.createDataFrame(rows, EVENT),
        AS_OF,
        user_index=spark.createDataFrame(users, "user_id string, idx int"),
        item_index=spark.createDataFrame(items, "item_id string, idx int"),
    )


def judge(lists: dict[str, dict[int, str]], test: dict[str, list[str]]) -> dict[str, float]:
    """Mean recall and NDCG over the users of the test; one without a list counts 0."""
    gains = 1 / np.log2(np.arange(K) + 2)
    recall, ndcg = [], []
    for user, truth in test.items():
        wanted, mine = set(truth), lists.get(user, {})
        hits = np.array([mine.get(rank) in wanted for rank in range(1, K + 1)])
        recall.append(hits.sum() / len(truth))
        ndcg.append((hits * gains).sum() / gains[: len(truth)].sum())
    return {"recall@20": round(float(np.mean(recall)), 4), "ndcg@20": round(float(np.mean(ndcg)), 4)}


def fitted(
    retrievers: Sequence[Retriever], log: Log, seen: DataFrame, meter: Meter
) -> tuple[list[Model[Any]], dict[str, float]]:
    """Fit the retrievers; what each cost."""
    costs: dict[str, float] = {}
    models: list[Model[Any]] = []
    for retriever in retrievers:
        before = meter.cpu_seconds()
        model = retriever.fit(log, signal=SIGNAL, interactions=seen)
        models.append(replace(model, frames={name: frame.localCheckpoint() for name, frame in model.frames.items()}))
        costs[f"{retriever.name}_fit_cpu_s"] = round(meter.cpu_seconds() - before, 1)
    return models, costs


def main() -> None:
    """Fit, propose once, judge each retriever and the union."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="lcfn")
    parser.add_argument("--only", nargs="*", help="names of the retrievers to fit; all by default")
    args = parser.parse_args()
    protocol = PROTOCOLS[args.protocol]
    retrievers = [one for one in protocol.retrievers if not args.only or one.name in args.only]
    train, test = (histories(args.data / file, by_pair=protocol.by_pair) for file in (protocol.train, protocol.test))
    spark = local_session("retrieval_quality", cores=2, extra={"spark.driver.memory": "2g"})
    log = log_of(spark, train)
    people = spark.createDataFrame([(user, None) for user in test], "user_id string, segment string")
    past = interactions(log.events, as_of=AS_OF, signal=SIGNAL)
    with Meter() as meter, persisted(past) as seen:
        models, metrics = fitted(retrievers, log, seen, meter)
        before = meter.cpu_seconds()
        assert log.item_index is not None
        audience = Audience(people, seen.withColumn("seen", F.lit(True)), log.item_index)
        found = candidates(audience, models, CandidatesSettings(k=K * len(models)))
        rows = found.select("user_id", "item_id", "rank", "ranks").collect()
        metrics["candidates_cpu_s"] = round(meter.cpu_seconds() - before, 1)
    for name in (*(retriever.name for retriever in retrievers), "blend"):
        lists: dict[str, dict[int, str]] = {}
        for row in rows:
            rank = row["rank"] if name == "blend" else row["ranks"].get(name)
            lists.setdefault(row["user_id"], {})[rank] = row["item_id"]
        metrics |= {f"{key}/{name}": value for key, value in judge(lists, test).items()}
    print(json.dumps({"name": "retrieval_quality", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
