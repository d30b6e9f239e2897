"""Recall and NDCG of each retriever and of their blend on a published split (full ranking, seen items excluded).

    python -m benchmarks.retrieval_quality --data DIR --protocol NAME [--only NAME ...] [--search TRIALS] [--validation]

DIR holds the folders of `benchmarks.quality.protocols`. Whatever is chosen is chosen on a part of the training data: a
fifth of it, or the item before the last one where the split is of last items. With --search settings of each retriever
are searched there by `recsys.tune`, else they are the defaults; the weights of the blend are fitted there; --validation
stops there and never looks at the test. Lists come from one pass of `candidates`, as in the job, and are separated by
the rank that each source gave. The last line on stdout is one JSON object, with the settings.

Two protocols of movielens-1m judge single pairs instead (`benchmarks.quality.movielens`): `ncf`, by the score of each
retriever, and `folds`, the error of predicted ratings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from benchmarks.machine import Meter, describe
from benchmarks.quality import movielens
from benchmarks.quality.logs import AS_OF, SIGNAL, log_of
from benchmarks.quality.protocols import DENSE, PROTOCOLS, Histories, Protocol
from recsys.data.log import Log
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.blend import described
from recsys.retrieval.candidates import candidates
from recsys.retrieval.frames import persisted
from recsys.retrieval.hybrid import HybridModel
from recsys.retrieval.interactions import interactions
from recsys.retrieval.settings import CandidatesSettings
from recsys.spark import local_session
from recsys.tuning.search import tune

NCF, FOLDS = "ncf", "folds"
"""Protocols that judge single pairs."""


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


def by_lists(spark: SparkSession, args: argparse.Namespace, meter: Meter) -> dict[str, Any]:
    """Choose on the validation part, fit on all of the training part, judge on the test."""
    protocol = PROTOCOLS[args.protocol]
    retrievers: Sequence[Retriever] = [one for one in protocol.retrievers if not args.only or one.name in args.only]
    train, test = protocol.read(args.data)
    kept, held = protocol.hold_out(train)
    in_order = protocol.test is None
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
    weights = described(model.blend) if model.blend else ""
    return {"metrics": metrics | costs, "settings": settings_of(retrievers), "weights": weights}


def by_pairs(spark: SparkSession, args: argparse.Namespace) -> dict[str, Any]:
    """Judge by the scores of single pairs."""
    if args.protocol == FOLDS:
        return {"metrics": movielens.measure_folds(spark, args.data, Als(implicit=False))}
    scoring = [one for one in DENSE if any(feature.name == "score" for feature in one.features)]
    retrievers: Sequence[Retriever] = [one for one in scoring if not args.only or one.name in args.only]
    if args.search:
        retrievers = movielens.searched(spark, args.data, retrievers, args.search)
    return {"metrics": movielens.measure_ncf(spark, args.data, retrievers), "settings": settings_of(retrievers)}


def settings_of(retrievers: Sequence[Retriever]) -> dict[str, Any]:
    """Return what differs from the defaults."""
    return {one.name: one.model_dump(mode="json", exclude_unset=True) for one in retrievers}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", choices=sorted([*PROTOCOLS, NCF, FOLDS]), default="lcfn")
    parser.add_argument("--only", nargs="*", help="names of the retrievers to fit; all by default")
    parser.add_argument("--search", type=int, default=0, metavar="TRIALS", help="trials per retriever; default: none")
    parser.add_argument("--validation", action="store_true", help="judge on the validation part instead of the test")
    args = parser.parse_args()
    spark = local_session("retrieval_quality", cores=2, extra={"spark.driver.memory": "3g"})
    with Meter() as meter:
        found = by_lists(spark, args, meter) if args.protocol in PROTOCOLS else by_pairs(spark, args)
        found["metrics"]["cpu_s"] = round(meter.cpu_seconds(), 1)
    print(json.dumps({"name": "retrieval_quality", "protocol": args.protocol, **found, "machine": describe()}))


if __name__ == "__main__":
    main()
