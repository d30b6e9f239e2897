"""The ranker on real shown lists: trivago's clickouts, learned before an instant and judged after it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import recsys
from benchmarks.ranking.shop import RESAMPLES, with_ends
from recsys import data
from recsys.config import load_config
from recsys.ctr.inputs.settings import default_inputs
from recsys.ctr.keywords import fields_of
from recsys.ctr.metrics import auc, logloss
from recsys.ctr.settings import TrainCtrSettings
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.retrieval.registry import examples_table
from recsys.spark import build_session
from recsys.store import Warehouse

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2018, 11, 9, tzinfo=UTC)
TEST_FROM = datetime(2018, 11, 8, 13, 30, tzinfo=UTC)
VALID_FROM = datetime(2018, 11, 8, 11, 0, tzinfo=UTC)
"""Lists from here to the test choose the epoch and fit the calibration."""
EVERYTHING = 1e9
"""Negatives per positive that no list has: none is left out."""
SOURCES = (
    "position",
    "price",
    "price_rank_in_list",
    "price_to_list_mean",
    "user_item_events",
    "user_item_seconds",
    "session_events",
    "session_seconds",
    "session_idle_seconds",
    "session_idle_steps",
    "session_last_event",
    "session_item_events",
    "session_item_clicks",
    "session_item_order",
    "is_last_item",
    "is_last_click",
    "last_item_distance",
    "touched_distance",
    "touched_nearest",
    "list_touched",
    "price_to_last_item",
)
"""Columns whose default inputs are used. The log has two days and a third as many hotels as rows: what ends with the
day before is empty in half of the training, and no hotel is seen often. Validation prefers to do without both.
"""
SETTINGS = {"batch_size": 512, "embedding_learning_rate": 0.02, "epochs": 10, "patience": 2}
"""Chosen on the lists between the two instants."""


def measure(folder: Path, scratch: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Make the examples from the events by the pipeline's own jobs, train on the earlier, judge the later lists."""
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/trivago-100k.yaml",
        overrides=[
            f"input.root={folder}",
            f"warehouse.path={scratch}/warehouse",
            f"ctr_examples.negatives_per_positive={EVERYTHING}",
            *(f"train_ctr.{name}={value}" for name, value in SETTINGS.items()),
            *overrides,
        ],
    )
    spark = build_session(config, "benchmark ranker")
    graph.run_pipeline(spark, config, AS_OF, load_jobs(ROOT / "jobs"), last="ctr_examples")
    table = examples_table(config.retrievers, config.ctr_examples.attribute_features)
    examples = Warehouse(spark, config.warehouse).read(table, where={**data.slice_of(AS_OF), "origin": "lists"})
    return learned(examples, config.train_ctr)


def learned(examples: DataFrame, settings: TrainCtrSettings) -> dict[str, Any]:
    """Train on the earlier lists and judge the later ones."""
    network = settings.network
    known = fields_of(type(network))
    values = {key: value for key, value in settings if key in known and key != "inputs"}
    inputs = settings.inputs or tuple(item for item in default_inputs() if item.source in SOURCES)
    ranker = getattr(recsys, type(network).__name__)(**network.model_dump(exclude={"kind"}), **values, inputs=inputs)
    train, valid, test = parts(examples)
    model = ranker.fit(train, valid=valid)
    return judged(model.predict(test).select("list_id", "user_id", "label", "prediction").toPandas())


def parts(examples: DataFrame) -> tuple[DataFrame, DataFrame, DataFrame]:
    """The examples before, between and after the two instants."""
    time = F.col("example_time")
    return (
        examples.where(time < F.lit(VALID_FROM)),
        examples.where((time >= F.lit(VALID_FROM)) & (time < F.lit(TEST_FROM))),
        examples.where(time >= F.lit(TEST_FROM)),
    )


def judged(rows: pd.DataFrame) -> dict[str, Any]:
    """MRR over all lists (0 for one without a click), AUC and logloss, with intervals over lists."""
    rank = rows.groupby("list_id")["prediction"].rank(ascending=False, method="first")
    gain = (1 / rank).where(rows["label"] == 1, 0.0).groupby(rows["list_id"]).max()
    number = rows["list_id"].map({name: place for place, name in enumerate(gain.index)}).to_numpy()
    labels, scores = rows["label"].to_numpy(), rows["prediction"].to_numpy()
    random, drawn = np.random.default_rng(7), []
    for _ in range(RESAMPLES):
        weights = random.poisson(1.0, len(gain)).astype(float)
        of_rows = weights[number]
        mrr = float((weights * gain.to_numpy()).sum() / weights.sum())
        drawn.append((mrr, auc(labels, scores, of_rows), logloss(labels, scores, of_rows)))
    low, high = np.percentile(np.array(drawn), (2.5, 97.5), axis=0)
    whole = (float(gain.mean()), auc(labels, scores), logloss(labels, scores))
    found: dict[str, Any] = {"lists": len(gain)}
    for place, name in enumerate(("mrr", "auc", "logloss")):
        found |= with_ends(name, whole[place], low[place], high[place])
    return found
