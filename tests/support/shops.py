"""One small synthetic shop, and one run of the pipeline on it that many tests read: a plugin of `tests/conftest.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys.config import Config, load_config
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.store import Warehouse
from recsys.synthetic import ShopConfig, generate
from tests.support.warehouses import Digests, digests

ROOT = Path(__file__).parents[2]
EVENTS = 4500
START = date(2024, 3, 4)
"""Clocks change within its 30 days: on March 10 in New York, on March 31 in Berlin."""
SMALL = (
    "spark.shuffle_partitions=2",
    "retrievers.als.rank=8",
    "retrievers.als.iterations=3",
    "candidates.k=30",
    "train_ctr.epochs=2",
    "train_ctr.network.hidden=[16]",
    "train_ctr.batch_size=512",
    "train_ctr.tensorboard=false",
    "train_ctr.user_embedding=off",
    "ctr_examples.instants=2",
    "ctr_examples.shards=2",
    # At every rung a fit more, which the tests of clicks alone need.
    "click_factors.enabled=false",
    "rank.k=10",
    "evaluate.bootstrap=50",
)


@dataclass(frozen=True)
class Shop:
    """Raw logs of a shop and the instant that the pipeline runs for."""

    raw: Path
    manifest: dict[str, Any]
    as_of: datetime


def shop_config(raw: Path, warehouse: Path, *more: str) -> Config:
    """The config of a run on a shop's raw logs, small enough for a test."""
    return load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse={warehouse}", *SMALL, *more],
    )


def run_shop(spark: SparkSession, config: Config, as_of: datetime, **part: Any) -> list[graph.Outcome]:
    """Run the pipeline, or a part of it, in the session of the tests.

    Shuffles have one partition here and two in programs that tests start, on executors or not: their tables are
    compared.
    """
    partitions = str(spark.conf.get("spark.sql.shuffle.partitions"))
    spark.conf.set("spark.sql.shuffle.partitions", "1")
    try:
        return graph.run_pipeline(spark, config, as_of, load_jobs(ROOT / "jobs"), **part)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", partitions)


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Raw logs of a shop over 30 days, with a week after `as_of` to judge by."""
    raw = tmp_path_factory.mktemp("shop") / "raw"
    generate(spark, ShopConfig.for_events(EVENTS, days=30, start=START), str(raw))
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    end = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC)
    return Shop(raw, manifest, end - timedelta(days=7))


@pytest.fixture(scope="session")
def served(spark: SparkSession, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Warehouse]:
    """The warehouse after one whole run."""
    config = shop_config(shop.raw, tmp_path_factory.mktemp("served") / "warehouse")
    run_shop(spark, config, shop.as_of)
    return config, Warehouse(spark, config.warehouse)


@pytest.fixture(scope="session")
def digest_of_served(served: tuple[Config, Warehouse]) -> Digests:
    """Digest of every table after that run, made once."""
    return digests(served[1])
