"""A ranker that can learn nothing: the examples of a run with their labels shuffled, and what the guard says to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config
from recsys.ctr.fitting import fit_heads, with_inputs
from recsys.ctr.heads import Heads
from recsys.evaluation.choice import decide
from recsys.features.examples import with_outcomes
from recsys.retrieval import registry
from recsys.store import Warehouse
from recsys.store.snapshot import export_by_origin


def verdict_on_shuffled(spark: SparkSession, config: Config, as_of: datetime, folder: Path) -> str:
    """Shuffle the labels within origin and split, train as `train_ctr` does, and return the verdict."""
    tables, attributes = Warehouse(spark, config.warehouse), config.ctr_examples.attribute_features
    table = registry.examples_table(config.retrievers, attributes)
    examples = shuffled(tables.read(table, where=data.slice_of(as_of))).persist()
    settings = with_inputs(config.train_ctr, retrieved=registry.features(config.retrievers), attributes=attributes)
    export_by_origin(examples, str(folder), shards={"train": config.ctr_examples.shards})
    bundles = fit_heads(examples, snapshots=str(folder), settings=settings, baselines=(), log_dir=None, about={})
    impressions = tables.read(data.IMPRESSIONS, before=as_of, required=False)
    choice = decide(
        examples,
        with_outcomes(impressions, tables.read(data.EVENTS, before=as_of)),
        Heads(bundles),
        k=settings.ndcg_at,
        batch_size=settings.batch_size,
        horizon_days=config.evaluate.horizon_days,
        effects=tables.read(data.POSITION_EFFECTS, where=data.slice_of(as_of), required=False),
    )
    examples.unpersist()
    return choice.why


def shuffled(examples: DataFrame) -> DataFrame:
    """Give each row the label and the rate of another one of its origin and split, by two hashes of the key."""
    within = W.partitionBy("origin", "split")
    place = F.row_number().over(within.orderBy(F.xxhash64(F.lit("from"), "example_id"), "example_id")).alias("place")
    other = F.row_number().over(within.orderBy(F.xxhash64(F.lit("to"), "example_id"), "example_id")).alias("place")
    moved = ("label", "cart", "purchase", "sample_rate")
    labels = examples.select("origin", "split", *moved, place)
    rows = examples.select(*(name for name in examples.columns if name not in moved), other)
    return rows.join(labels, on=["origin", "split", "place"], how="inner").drop("place").select(*examples.columns)
