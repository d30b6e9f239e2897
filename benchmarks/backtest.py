"""The pipeline at several instants, one after the other: what each stage finds in the horizon after each, pooled.

    python -m benchmarks.backtest --dataset conf/datasets/movielens-latest-small.yaml \\
        --set input.root=DIR --first 2001-01-01 --last 2017-01-01 --every 365

A call of `jobs/backtest.py`, whose flags it takes. Users known at an instant count once per instant; the intervals come
from resampling users with all of their instants, because the lists of a user are alike. The last line on stdout is one
JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import Row

from benchmarks.machine import describe
from jobs.backtest import MORE
from recsys import data
from recsys.config import Config, parse_as_of
from recsys.evaluation.pooled import POOLED
from recsys.evaluation.stages import FINAL
from recsys.pipeline import backtest
from recsys.pipeline.flags import Flags
from recsys.pipeline.job import load_jobs
from recsys.pipeline.judging import stages_of
from recsys.pipeline.program import program
from recsys.spark import build_session
from recsys.store import Warehouse

ROOT = Path(__file__).parents[1]
K = 10
LOCAL = ("--config", str(ROOT / "conf/local.yaml"), "--set", "warehouse=benchmark-backtest")

Rows = Mapping[tuple[str, str], Row]
"""Pooled rows of the known users at the cut-off, by stage and metric."""


def run(flags: Flags, config: Config) -> None:
    """Run the back-test, then print its pooled figures as JSON."""
    asked = flags.extra
    first, last = (parse_as_of(text) if text else None for text in (asked.first, asked.last))
    ats = backtest.instants(flags.as_of, first=first, last=last, every=asked.every, count=asked.instants)
    spark = build_session(config, "benchmark backtest")
    name = backtest.run_backtest(spark, config, ats, load_jobs(ROOT / "jobs"))
    rows = Warehouse(spark, config.warehouse).read(data.BACKTESTS, where={"backtest": name})
    judged = rows.where("instant != 'pooled'").select("instant").distinct().count()
    wanted = {"instant": POOLED, "k": K, "slice": ["known", "all"], "metric": ["ndcg", "snips_ctr"]}
    pooled = Warehouse(spark, config.warehouse).read(data.BACKTESTS, where={"backtest": name, **wanted}).collect()
    found = {
        (row["stage"], row["metric"]): row
        for row in pooled
        if row["slice"] == ("known" if row["metric"] == "ndcg" else "all")
    }
    metrics = result(found, stages_of(config).retrievers, stages_of(config).baseline) | {"instants": judged}
    print(json.dumps({"name": "backtest", "metrics": metrics, "machine": describe()}))


def result(found: Rows, retrievers: tuple[str, ...], alone: str | None) -> dict[str, Any]:
    """NDCG and SNIPS of every stage, and the final list's difference from popularity and from the best retriever."""
    result: dict[str, Any] = {}
    for (stage, metric), row in sorted(found.items()):
        if "-" not in stage:
            name = f"{stage}_{'ndcg' if metric == 'ndcg' else 'snips'}_at_{K}"
            result[name] = _rounded(row["value"])
    best = max(retrievers, key=lambda name: found[name, "ndcg"]["value"] or 0.0)
    for key, other in ((alone, alone), ("best_retriever", best), ("candidates", "candidates")):
        row = found.get((f"{FINAL}-{other}", "ndcg"))
        if row is not None:
            ends = {"": "value", "_low": "ci_low", "_high": "ci_high"}
            result |= {f"final_minus_{key}{end}": _rounded(row[column]) for end, column in ends.items()}
    final = found[FINAL, "ndcg"]
    return result | {"best_retriever": best, "users": final["users"], "users_times_instants": final["n"]}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    """Run with the local config, in a warehouse that flags may move."""
    program("benchmarks.backtest", __doc__, [*LOCAL, *sys.argv[1:]], run, more=MORE)


if __name__ == "__main__":
    main()
