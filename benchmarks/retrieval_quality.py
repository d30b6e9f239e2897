"""Recall and NDCG of each retriever and of their blend on a published split (full ranking, seen items excluded).

    python -m benchmarks.retrieval_quality --data DIR --protocol NAME [--only NAME ...] [--search TRIALS] [--validation]

DIR holds the folders of `benchmarks.quality.protocols`. Whatever is chosen is chosen on a part of the training data: a
fifth of it, or the item before the last one where the split is of last items. With --search settings of each retriever
are searched there by `recsys.tune`, else they are the defaults; the weights of the blend are fitted there; --validation
stops there and never looks at the test. Lists come from one pass of `candidates`, as in the job, and are separated by
the rank that each source gave. The last line on stdout is one JSON object, with the settings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from benchmarks.machine import Meter, describe
from benchmarks.quality.protocols import PROTOCOLS, Histories, Protocol
from recsys.data.log import Log
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.blend import described
from recsys.retrieval.candidates import candidates
from recsys.retrieval.frames import persisted
from recsys.retrieval.hybrid import HybridModel
from recsys.retrieval.interactions import interactions
from recsys.retrieval.settings import CandidatesSettings, SignalSettings
from recsys.spark import local_session
from recsys.tuning.search import tune

AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
EVENT = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "session_id string, is_bot boolean"
)
SIGNAL = SignalSettings(weights={"rating": 1.0})


def log_of(spark: SparkSession, train: Histories, *, in_order: bool = False) -> Log:
    """Make the log, with its indexes; items of a user have one time, or are a minute apart, the last a day ago."""
    last, apart = AS_OF - timedelta(days=1), timedelta(minutes=1 if in_order else 0)
    rows = [
        (f"{user} {place}", user, item, "rating", last - apart * (len(items) - 1 - place), None, None, False)
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


def judge(lists: dict[str, dict[int, str]], test: Histories, k: int) -> dict[str, float]:
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
    log: Log, retrievers: Sequence[Retriever], seen: DataFrame, meter: Meter
) -> tuple[HybridModel, dict[str, float]]:
    """Fit the retrievers, each once; what each cost."""
    costs: dict[str, float] = {}
    models: list[Model[Any]] = []
    for retriever in retrievers:
        before = meter.cpu_seconds()
        model = retriever.fit(log, signal=SIGNAL, interactions=seen)
        models.append(replace(model, frames={name: frame.localCheckpoint() for name, frame in model.frames.items()}))
        costs[f"{retriever.name}_fit_cpu_s"] = round(meter.cpu_seconds() - before, 1)
    audience = Audience.of(log, signal=SIGNAL)
    return HybridModel([replace(model, audience=audience) for model in models], audience, CandidatesSettings()), costs


def searched(retrievers: Sequence[Retriever], train: Log, valid: Log, *, trials: int, k: int) -> list[Retriever]:
    """Find settings for those that have any to find."""
    found: list[Retriever] = []
    for retriever in retrievers:
        if type(retriever).drawn is Retriever.drawn:
            found.append(retriever)
        else:
            found.append(tune(retriever, train, valid, metric=f"ndcg@{k}", trials=trials, signal=SIGNAL).best)
    return found


def figures(model: HybridModel, test: Histories, spark: SparkSession, protocol: Protocol) -> dict[str, float]:
    """Judge each retriever and the blend by lists of one pass."""
    people = spark.createDataFrame([(user,) for user in test], "user_id string")
    settings = CandidatesSettings(k=max(one.settings.k for one in model.models) * len(model.models))
    found = candidates(model.audience.of_users(people), model.models, settings, blend=model.blend)
    rows = found.select("user_id", "item_id", "rank", "ranks").collect()  # lists of a benchmark
    metrics: dict[str, float] = {}
    for name in (*(one.settings.name for one in model.models), "blend"):
        lists: dict[str, dict[int, str]] = {}
        for row in rows:
            rank = row["rank"] if name == "blend" else row["ranks"].get(name)
            lists.setdefault(row["user_id"], {})[rank] = row["item_id"]
        metrics |= {f"{key}/{name}": value for key, value in judge(lists, test, protocol.k).items()}
    return metrics


def main() -> None:
    """Choose on the validation part, fit on all of the training part, judge on the test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="lcfn")
    parser.add_argument("--only", nargs="*", help="names of the retrievers to fit; all by default")
    parser.add_argument("--search", type=int, default=0, metavar="TRIALS", help="trials per retriever; default: none")
    parser.add_argument("--validation", action="store_true", help="judge on the validation part instead of the test")
    args = parser.parse_args()
    protocol = PROTOCOLS[args.protocol]
    retrievers: Sequence[Retriever] = [one for one in protocol.retrievers if not args.only or one.name in args.only]
    train, test = protocol.read(args.data)
    kept, held = protocol.hold_out(train)
    spark = local_session("retrieval_quality", cores=2, extra={"spark.driver.memory": "3g"})
    in_order = protocol.test is None
    with Meter() as meter:
        part = log_of(spark, kept, in_order=in_order)
        taken = log_of(spark, held)
        if args.search:
            retrievers = searched(retrievers, part, taken, trials=args.search, k=protocol.k)
        with persisted(interactions(part.events, as_of=AS_OF, signal=SIGNAL)) as seen:
            model, costs = fitted(part, retrievers, seen, meter)
            model = model.with_fitted_weights(taken.events.select("user_id", "item_id"))
            metrics = figures(model, held, spark, protocol) if args.validation else {}
        if not args.validation:
            log = log_of(spark, train, in_order=in_order)
            with persisted(interactions(log.events, as_of=AS_OF, signal=SIGNAL)) as seen:
                whole, costs = fitted(log, retrievers, seen, meter)
                metrics = figures(replace(whole, blend=model.blend), test, spark, protocol)
        metrics |= {**costs, "cpu_s": round(meter.cpu_seconds(), 1)}
    settings = {one.name: one.model_dump(mode="json", exclude_unset=True) for one in retrievers}
    weights = described(model.blend) if model.blend else ""
    result = {"name": "retrieval_quality", "protocol": args.protocol, "metrics": metrics}
    print(json.dumps({**result, "settings": settings, "weights": weights, "machine": describe()}))


if __name__ == "__main__":
    main()
