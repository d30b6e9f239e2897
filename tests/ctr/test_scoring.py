"""Scoring on executors equals scoring here; the job writes a version that loads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.train_ctr import run
from recsys import data
from recsys.arrow import collect_arrow
from recsys.config import Config, stamp
from recsys.ctr.heads import Heads
from recsys.ctr.ranker import CtrRanker
from recsys.ctr.serving import worker
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.scoring import score
from recsys.ctr.serving.worker import score_batches
from recsys.errors import DataError
from recsys.pipeline import execute
from recsys.retrieval import registry
from recsys.store import Warehouse
from tests.ctr import shop

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 3, 1, tzinfo=UTC)
EXAMPLES = registry.examples_table(registry.defaults())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return CtrRanker().fit(shop.task(tmp_path_factory.mktemp("scoring"), rows=1000, epochs=1))


def test_executors_score_as_the_driver_does(spark: SparkSession, bundle: ModelBundle) -> None:
    rows = shop.table(500, seed=8).append_column("id", pa.array(np.arange(500)))
    frame = spark.createDataFrame(
        rows.to_pandas(),
        "item_id string, device string, price double, als_score double, "
        "history array<string>, item_events_30d double, label double, sample_rate double, "
        "truth double, id bigint",
    )
    scored = score(frame.repartition(3), bundle=bundle, batch_size=64, keep=["id", "item_id"])
    assert scored.columns == ["id", "item_id", "prediction", "logit"]
    out = collect_arrow(scored.orderBy("id"))
    expected = bundle.predict(rows)
    assert out["item_id"].to_pylist() == rows["item_id"].to_pylist()
    np.testing.assert_allclose(out["logit"].to_numpy(), expected.logit, atol=1e-6)
    np.testing.assert_allclose(out["prediction"].to_numpy(), expected.probability, atol=1e-6)


def test_a_worker_loads_the_model_once(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shop.table(300, seed=8)
    batches = [rows.slice(0, 0).to_batches(), rows.to_batches(max_chunksize=100)]
    monkeypatch.setattr(worker, "_loaded", {})
    for _ in range(2):
        rows_again = (b for part in batches for b in part)
        out = list(score_batches(rows_again, bundle.files, network=bundle.network, batch_size=64, keep=["price"]))
        assert [b.num_rows for b in out] == [100, 100, 100]
    assert len(worker._loaded) == 1


def _examples(spark: SparkSession, warehouse: Warehouse, rows: int = 1200, positives: bool = True) -> None:
    """Fill ctr_examples and its snapshot as ctr_examples would."""
    known = {c.name for c in EXAMPLES.columns}
    frame = spark.range(rows).select(
        F.lit(AS_OF).alias("as_of"),
        F.lit(stamp(AS_OF)).alias("as_of_key"),
        F.concat(F.lit("e"), F.col("id")).alias("example_id"),
        F.expr("CASE WHEN id % 5 < 3 THEN 'train' WHEN id % 5 = 3 THEN 'valid' ELSE 'test' END").alias("split"),
        F.concat(F.lit("u"), F.col("id") % 50).alias("user_id"),
        F.concat(F.lit("i"), F.col("id") % 7).alias("item_id"),
        F.lit("lists").alias("origin"),
        F.lit("l").alias("list_id"),
        F.lit(AS_OF).alias("example_time"),
        (F.expr("(xxhash64(id) % 100 + 100) % 100 < 10 + 10 * (id % 7)") & F.lit(positives))
        .cast("double")
        .alias("label"),
        F.lit(1.0).alias("sample_rate"),
        (F.col("id") % 7).cast("double").alias("item_events_30d"),
        (1 + F.col("id") % 11).cast("int").alias("position"),
        F.array(F.concat(F.lit("i"), F.col("id") % 3)).alias("history"),
    )
    assert set(frame.columns) <= known
    missing = [F.lit(None).cast(c.type).alias(c.name) for c in EXAMPLES.columns if c.name not in frame.columns]
    warehouse.replace(EXAMPLES, frame.select("*", *missing), where=data.slice_of(AS_OF))
    snapshot = warehouse.path("snapshots", "ctr_examples", stamp(AS_OF), "lists")
    stored = warehouse.read(EXAMPLES)
    for split in ("train", "valid", "test"):
        stored.where(F.col("split") == split).coalesce(1).write.mode("overwrite").parquet(f"{snapshot}/{split}")
    shop.manifest(Path(snapshot))


def _config(warehouse: Warehouse) -> Config:
    return Config.model_validate(
        {
            "warehouse": warehouse.config,
            "train_ctr": {
                "heads": ["click"],
                "user_embedding": "off",
                "network": {"hidden": [8]},
                "epochs": 2,
                "batch_size": 64,
                "threads": 1,
                "learning_rate": 0.01,
            },
        }
    )


def test_the_job_makes_a_version_and_makes_it_again(spark: SparkSession, warehouse: Warehouse) -> None:
    _examples(spark, warehouse)
    config = _config(warehouse)
    execute(run, spark, config, AS_OF)
    (first,) = warehouse.read(data.MODELS).collect()
    assert first["kind"] == "ctr"
    assert first["model_version"].startswith("ctr-20200301T000000Z-")
    assert first["as_of"].astimezone(UTC) == AS_OF or first["as_of"] == AS_OF.replace(tzinfo=None)
    heads = Heads.load(warehouse.path(first["path"]))
    bundle = heads.bundles["click"]
    assert {f"click/{name}": checksum for name, checksum in bundle.checksums.items()}.items() <= first[
        "checksums"
    ].items()
    assert heads.choice.used and heads.choice.why == first["verdict"]
    assert {"item", "history", "position", "item_events_30d"} == {i.name for i in bundle.spec.inputs}
    metrics = {name.removeprefix("click_"): value for name, value in first["metrics"].items()}
    assert metrics["valid_auc_raw"] > 0.6
    assert {"valid_auc_popularity", "valid_auc_position", "test_logloss_raw", "test_logloss_calibrated"} <= set(metrics)
    assert metrics["train_rows"] == 720
    assert Path(warehouse.path("tensorboard", first["model_version"])).is_dir()
    execute(run, spark, config, AS_OF)
    (second,) = warehouse.read(data.MODELS).collect()
    volatile = set(data.MODELS.volatile)
    assert {k: v for k, v in second.asDict().items() if k not in volatile} == {
        k: v for k, v in first.asDict().items() if k not in volatile
    }


def test_without_positives_the_job_says_so(spark: SparkSession, warehouse: Warehouse) -> None:
    _examples(spark, warehouse, positives=False)
    with pytest.raises(DataError, match="all 720 training examples are negative"):
        execute(run, spark, _config(warehouse), AS_OF)
    assert not warehouse.exists(data.MODELS)


def test_too_few_examples(spark: SparkSession, warehouse: Warehouse) -> None:
    _examples(spark, warehouse, rows=20)
    with pytest.raises(DataError, match="fewer than train_ctr.min_examples"):
        execute(run, spark, _config(warehouse), AS_OF)


def test_without_a_snapshot(spark: SparkSession, warehouse: Warehouse) -> None:
    _examples(spark, warehouse)
    Path(warehouse.path("snapshots", "ctr_examples", stamp(AS_OF), "lists"), "manifest.json").unlink()
    with pytest.raises(DataError, match="holds no finished snapshot"):
        execute(run, spark, _config(warehouse), AS_OF)
