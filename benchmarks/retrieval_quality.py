"""Recall@20 and NDCG@20 of each retriever on a published split (full ranking, seen items excluded).

`python -m benchmarks.retrieval_quality --data DIR --protocol NAME [--only NAME ...]` where DIR holds the folders of
`PROTOCOLS`. The splits have no times, so neighbors start from whole histories. Protocols called `lastitem` have items
in the order of time: the last one is the test (with `--validation` the one before it, and the last is left out), and
the figures are HR@10 and NDCG@10. Lists come from one pass of `candidates`, as in the job, and are separated by the
rank that each source gave. The last line on stdout is one JSON object.
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
from recsys.retrieval.item2vec.retriever import Item2Vec
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.ordered.retriever import Ordered
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
        Its files; without a `test` it is the last item of each line.
    retrievers : tuple of Retriever
        A weight of 0 leaves one out of the blend.
    by_pair : bool
        Whether the files have a line per user and item; else one per user, with all items behind the user.
    k : int
        Length of the lists that are judged.
    """

    train: str
    test: str | None
    retrievers: tuple[Retriever, ...]
    by_pair: bool = False
    k: int = K

    def split(self, data: Path, *, validation: bool) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Items of each user for training, and those to be found."""
        train = histories(data / self.train, by_pair=self.by_pair)
        if self.test is not None:
            return train, histories(data / self.test, by_pair=self.by_pair)
        last = -2 if validation else -1
        return {user: items[:last] for user, items in train.items()}, {u: [items[last]] for u, items in train.items()}


LAST_ITEM = (
    Popular(k=K, weight=0.0),
    ItemItem(k=3 * K, weight=0.0, similarity="cosine", recent_items=WHOLE),
    Ordered(k=3 * K),
    Item2Vec(k=3 * K, weight=0.0),
    Als(k=3 * K, weight=0.25, rank=128),
)
"""Retrievers with their defaults, and what they are compared with."""


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
    "lastitem": Protocol("amazon-beauty/sequences.txt.gz", None, LAST_ITEM, k=10),
    "lastitem-sports": Protocol("amazon-sports/sequences.txt.gz", None, LAST_ITEM, k=10),
}


def histories(path: Path, *, by_pair: bool) -> dict[str, list[str]]:
    """Read a split: items of each user."""
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt") as lines:
        for user, *items in (line.split() for line in lines):
            found.setdefault(user, []).extend(items[:1] if by_pair else items)
    return {user: items for user, items in found.items() if items}


def log_of(spark: SparkSession, train: dict[str, list[str]], *, in_order: bool = False) -> Log:
    """Make the log, with its indexes; items of a user have one time, or are a minute apart, the last a day ago."""
    last, apart = AS_OF - timedelta(days=1), timedelta(minutes=1 if in_order else 0)
    rows = [
        (user, item, "rating", last - apart * (len(items) - 1 - place), None, False)
        for user, items in train.items()
        for place, item in enumerate(items)
    ]
    users = [(name, i) for i, name in enumerate(sorted(train), 1)]
    items = [(name, i) for i, name in enumerate(sorted({item for mine in train.values() for item in mine}), 1)]
    return Log(
        spark.createDataFrame(rows, EVENT),
        AS_OF,
        user_index=spark.createDataFrame(users, "user_id string, idx int"),
        item_index=spark.createDataFrame(items, "item_id string, idx int"),
    )


def judge(lists: dict[str, dict[int, str]], test: dict[str, list[str]], k: int = K) -> dict[str, float]:
    """Mean recall (of single items a hit rate) and NDCG over the users of the test; one without a list counts 0."""
    gains = 1 / np.log2(np.arange(k) + 2)
    recall, ndcg = [], []
    for user, truth in test.items():
        wanted, mine = set(truth), lists.get(user, {})
        hits = np.array([mine.get(rank) in wanted for rank in range(1, k + 1)])
        recall.append(hits.sum() / len(truth))
        ndcg.append((hits * gains).sum() / gains[: len(truth)].sum())
    single = all(len(truth) == 1 for truth in test.values())
    hit = "hr" if single else "recall"
    return {f"{hit}@{k}": round(float(np.mean(recall)), 4), f"ndcg@{k}": round(float(np.mean(ndcg)), 4)}


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
    parser.add_argument("--validation", action="store_true", help="judge the item before the last one (lastitem)")
    args = parser.parse_args()
    protocol = PROTOCOLS[args.protocol]
    if args.validation and protocol.test is not None:
        parser.error(f"--validation: {args.protocol} has no part for it")
    retrievers = [one for one in protocol.retrievers if not args.only or one.name in args.only]
    train, test = protocol.split(args.data, validation=args.validation)
    spark = local_session("retrieval_quality", cores=2, extra={"spark.driver.memory": "2g"})
    log = log_of(spark, train, in_order=protocol.test is None)
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
        metrics |= {f"{key}/{name}": value for key, value in judge(lists, test, protocol.k).items()}
    print(json.dumps({"name": "retrieval_quality", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
