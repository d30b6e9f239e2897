"""The pipeline at several instants, one after the other: what each stage finds in the horizon after each, pooled.

    python -m benchmarks.backtest --dataset conf/datasets/movielens-latest-small.yaml \\
        --set input.root=DIR --first 2001-01-01 --last 2017-01-01 --every 365

A small log has few users who are active both before and after any one instant, too few to see which of two lists is
better. Over many instants there are enough. Users known at an instant count once per instant; the intervals come from
resampling users with all of their instants, because the lists of a user are alike. The last line on stdout is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from benchmarks.machine import describe
from jobs.evaluate import read_day
from recsys.config import Config, load_config
from recsys.pipeline import Context, graph
from recsys.pipeline.job import load_jobs
from recsys.retrieval.registry import baseline
from recsys.spark import build_session

ROOT = Path(__file__).parents[1]
K = 10
RESAMPLES = 2000

Figures = dict[str, float]
"""NDCG@10 of one user at one instant, by stage."""


def main() -> None:
    """Run the pipeline at each instant, then print a table and the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="mapping of the data set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    parser.add_argument("--first", required=True, help="first instant, YYYY-MM-DD")
    parser.add_argument("--last", required=True, help="no instant after this one")
    parser.add_argument("--every", type=int, default=365, help="days between instants")
    parser.add_argument("--warehouse", default="benchmark-backtest", help="a new warehouse, or one to go on with")
    flags = parser.parse_args()
    config = load_config(
        [ROOT / "conf/local.yaml"], dataset=flags.dataset, overrides=[f"warehouse={flags.warehouse}", *flags.set]
    )
    alone = baseline(config.retrievers)
    assert alone is not None, "the config has no retriever to compare with"
    spark = build_session(config, "benchmark backtest")
    jobs = load_jobs(ROOT / "jobs")
    found: dict[datetime, dict[str, Figures]] = {}
    for as_of in instants(flags.first, flags.last, flags.every):
        graph.run_pipeline(spark, config, as_of, jobs)
        found[as_of] = judge(spark, config, as_of)
        sys.stderr.write(f"{as_of:%Y-%m-%d}  {means_of(found[as_of])}\n")
    print(json.dumps({"name": "backtest", "metrics": pooled(found, alone.name), "machine": describe()}))


def instants(first: str, last: str, every: int) -> Iterator[datetime]:
    """Midnights from the first to the last."""
    at, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    while at <= end:
        yield at
        at += timedelta(days=every)


def judge(spark: SparkSession, config: Config, as_of: datetime) -> dict[str, Figures]:
    """NDCG@10 of every known user with truth, by stage; a stage without a list for a user has 0."""
    day, e = read_day(Context.of(spark, config, as_of)), config.evaluate
    relevant = day.relevant(
        horizon_days=e.horizon_days,
        relevant_types=e.relevant_types,
        min_value=e.min_value,
        only_new_items=e.only_new_items,
        include_anonymous=config.candidates.include_anonymous,
    )
    population = day.population(relevant).where("known").cache()
    lists = day.lists(population, exclude_unavailable=config.candidates.exclude_unavailable, depth=K)
    wanted = defaultdict(set)
    for row in relevant.join(population.select("user_id"), on="user_id").collect():
        wanted[row["user_id"]].add(row["item_id"])
    gains: dict[tuple[str, str], float] = defaultdict(float)
    for row in lists.where(lists["rank"] <= K).collect():
        if row["item_id"] in wanted[row["user_id"]]:
            gains[row["user_id"], row["stage"]] += 1 / math.log2(row["rank"] + 1)
    population.unpersist()
    best = {user: sum(1 / math.log2(r + 1) for r in range(1, min(K, len(items)) + 1)) for user, items in wanted.items()}
    return {user: {stage: gains[user, stage] / best[user] for stage in day.stages.names} for user in best if best[user]}


def means_of(users: Mapping[str, Figures]) -> str:
    """Means of one instant."""
    stages = next(iter(users.values()), {})
    means = (f"{stage} {np.mean([u[stage] for u in users.values()]):.3f}" for stage in stages)
    return f"{len(users):>4} users  {'  '.join(means)}"


def pooled(found: Mapping[datetime, Mapping[str, Figures]], alone: str) -> dict[str, float]:
    """Means over all users and instants, and final minus the baseline with a 95 % interval (users resampled)."""
    by_user: dict[str, list[Figures]] = defaultdict(list)
    for users in found.values():
        for user, figures in users.items():
            by_user[user].append(figures)
    everything = [figures for several in by_user.values() for figures in several]
    result = {
        f"{stage}_ndcg_at_10": round(float(np.mean([f[stage] for f in everything])), 4) for stage in everything[0]
    }
    gains = [[f["final"] - f[alone] for f in several] for several in by_user.values()]
    totals, counts = np.array([sum(g) for g in gains]), np.array([len(g) for g in gains])
    drawn = np.random.default_rng(7).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.quantile(totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return result | {
        f"final_minus_{alone}": round(float(totals.sum() / counts.sum()), 4),
        f"final_minus_{alone}_low": round(float(low), 4),
        f"final_minus_{alone}_high": round(float(high), 4),
        "users": len(by_user),
        "users_times_instants": len(everything),
        "instants": len(found),
    }


if __name__ == "__main__":
    main()
