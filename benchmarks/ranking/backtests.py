"""The ranker on a log with times: the pipeline at several past instants, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.backtest import K, result
from benchmarks.ranking.shuffled import verdict_on_shuffled
from recsys import data
from recsys.config import load_config
from recsys.evaluation.pooled import POOLED
from recsys.pipeline import backtest
from recsys.pipeline.job import load_jobs
from recsys.pipeline.judging import stages_of
from recsys.retrieval.registry import RANKER
from recsys.spark import build_session
from recsys.store import Warehouse

ROOT = Path(__file__).parents[2]
LAST = {
    "movielens-1m": "2002-06-01T00:00:00+00:00",
    "lastfm-2k": "2011-04-15T00:00:00+00:00",
    "online-retail-ii-2009": "2010-11-01T00:00:00+00:00",
}
"""The last instant of each data set: the horizon of its mapping lies before the end of the log."""


def measure(
    name: str, folder: Path, scratch: Path, overrides: Sequence[str], *, instants: int, shuffled: bool
) -> dict[str, Any]:
    """Run the back-test and return its pooled figures, and how often the ranker was used."""
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / f"conf/datasets/{name}.yaml",
        overrides=[f"input.root={folder}", f"warehouse.path={scratch}/warehouse", *overrides],
    )
    last, every = datetime.fromisoformat(LAST[name]), config.evaluate.horizon_days
    ats = [last - timedelta(days=every * back) for back in reversed(range(instants))]
    spark = build_session(config, "benchmark ranker")
    made = backtest.run_backtest(spark, config, ats, load_jobs(ROOT / "jobs"))
    tables = Warehouse(spark, config.warehouse)
    pooled = tables.read(data.BACKTESTS, where={"backtest": made, "as_of_key": POOLED, "k": K, "metric": "ndcg"})
    rows = {(row["stage"], "ndcg"): row for row in pooled.where("slice = 'known'").collect()}
    stages = stages_of(config)
    found = result(rows, stages.retrievers, stages.baseline)
    verdicts = tables.read(data.MODELS, where={"kind": RANKER}, required=False).select("verdict").collect()
    found |= {"instants": instants, "used": sum(row["verdict"].startswith("used") for row in verdicts)}
    if shuffled:
        found["shuffled_verdict"] = verdict_on_shuffled(spark, config, ats[-1], scratch / "shuffled")
    return found
