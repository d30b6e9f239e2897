"""The ranker on a synthetic shop, whose true click probabilities are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from benchmarks.ranking.shuffled import verdict_on_shuffled
from recsys import data
from recsys.config import Config, load_config
from recsys.ctr.heads import Heads
from recsys.ctr.metrics import auc
from recsys.demo import value_of_lists
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.retrieval.registry import RANKER, examples_table
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[2]
HORIZON_DAYS = 7
RESAMPLES = 500


def measure(rows: int, seed: int, folder: Path, overrides: Sequence[str], *, shuffled: bool) -> dict[str, Any]:
    """Make the shop unless it is there, run the pipeline a week before its end, and return the figures."""
    raw, warehouse = folder / f"raw-{rows}-{seed}", folder / f"warehouse-{rows}-{seed}"
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse.path={warehouse}", *overrides],
    )
    spark = build_session(config, "benchmark ranker")
    if not (raw / "manifest.json").is_file():
        generate(spark, ShopConfig.for_events(rows, seed=seed), str(raw))
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    as_of = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC) - timedelta(days=HORIZON_DAYS)
    graph.run_pipeline(spark, config, as_of, load_jobs(ROOT / "jobs"))
    tables = Warehouse(spark, config.warehouse)
    found = {**ranking(tables, as_of), **value(spark, tables, as_of, raw), **clicks(tables, config, as_of)}
    if shuffled:
        found["shuffled_verdict"] = verdict_on_shuffled(spark, config, as_of, folder / "shuffled")
    return found


def ranking(tables: Warehouse, as_of: datetime) -> dict[str, Any]:
    """NDCG@10 and SNIPS of the stages, and what the final list gains over the union of the retrievers."""
    where = {"run_date": as_of.date(), "as_of": as_of, "slice": "all", "k": 10, "metric": ["ndcg", "snips_ctr"]}
    rows = tables.read(data.METRICS, where=where).collect()
    names = {"ndcg": "ndcg@10", "snips_ctr": "snips@10"}
    found: dict[str, Any] = {}
    for row in rows:
        if row["stage"] == "final-candidates" and row["metric"] == "ndcg":
            found |= with_ends("gain_over_fusion", row["value"], row["ci_low"], row["ci_high"])
        elif "-" not in row["stage"]:
            found |= with_ends(f"{names[row['metric']]}/{row['stage']}", row["value"], row["ci_low"], row["ci_high"])
    verdict = tables.read(data.MODELS, where={"kind": RANKER, "as_of": as_of}).select("verdict").first()
    return found | {"verdict": verdict["verdict"] if verdict else "no ranker was trained"}


def value(spark: SparkSession, tables: Warehouse, as_of: datetime, raw: Path) -> dict[str, Any]:
    """Mean true click probability of the first ten, and regret."""
    found: dict[str, Any] = {}
    for row in value_of_lists(spark, tables, as_of, raw):
        if "-" not in row["stage"]:
            found |= with_ends(f"{row['metric']}@10/{row['stage']}", row["value"], row["ci_low"], row["ci_high"])
    return found


def clicks(tables: Warehouse, config: Config, as_of: datetime) -> dict[str, Any]:
    """AUC of the head `click` on its test lists, with an interval over users."""
    model = tables.read(data.MODELS, where={"kind": RANKER, "as_of": as_of}).first()
    heads = Heads.load(tables.path(model["path"])) if model else None
    if heads is None or "click" not in heads.bundles:
        return {}
    bundle = heads.bundles["click"]
    table = examples_table(config.retrievers, config.ctr_examples.attribute_features)
    rows = tables.read(table, where={**data.slice_of(as_of), "split": "test", "origin": "lists"})
    kept = dict.fromkeys(["user_id", "label", "sample_rate", *bundle.spec.source_columns])
    frame = rows.select(*kept).toArrow()  # the test split of a benchmark
    scores = bundle.predict(frame).logit
    users = frame["user_id"].to_numpy(zero_copy_only=False)
    labels, weights = frame["label"].to_numpy(), 1.0 / frame["sample_rate"].to_numpy()
    return with_ends("auc_click", auc(labels, scores, weights), *auc_interval(users, labels, scores, weights))


def auc_interval(users: Any, labels: Any, scores: Any, weights: Any) -> tuple[float, float]:
    """95 % interval of an AUC by a Poisson bootstrap over users."""
    _, number = np.unique(users, return_inverse=True)
    random = np.random.default_rng(7)
    drawn = [auc(labels, scores, weights * random.poisson(1.0, number.max() + 1)[number]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def with_ends(name: str, value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    """A figure and the ends of its interval as flat keys."""
    return {
        key: None if figure is None else round(float(figure), 4)
        for key, figure in ((name, value), (f"{name}_low", low), (f"{name}_high", high))
    }
