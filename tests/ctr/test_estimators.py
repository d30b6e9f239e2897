"""The ranker as a library: any labeled frame in, a fitted model out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.ctr import estimators, held_out, tables
from recsys.ctr.base import TrainTask
from recsys.ctr.estimators import CtrEstimator
from recsys.ctr.fitted import CtrModel
from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.settings import numeric_input
from recsys.ctr.metrics import auc
from recsys.ctr.ranker import CtrRanker
from recsys.ctr.training.shards import list_shards
from recsys.errors import ConfigError, DataError, NothingToDo

pytestmark = pytest.mark.spark

SMALL: dict[str, Any] = {"hidden": (8,), "epochs": 3, "batch_size": 64, "threads": 1, "learning_rate": 0.01}


def _clicks(n: int, seed: int) -> pd.DataFrame:
    """Clicks on one color and on what was seen before; `noise` says nothing."""
    random = np.random.default_rng(seed)
    color, size = random.integers(0, 4, n), random.integers(0, 3, n)
    price = random.normal(size=n)
    likes = random.random(n) < 0.5
    chance = np.where(color == 0, 0.8, 0.2) + np.where(likes, 0.15, -0.15)
    return pd.DataFrame(
        {
            "color": [("red", "green", None, "blue")[c] for c in color],
            "size": size,
            "price": price,
            "sale": price < 0,
            "seen": [["liked"] if liked else [] for liked in likes],
            "at": pd.Timestamp("2024-01-01"),
            "label": (random.random(n) < chance).astype(int),
        }
    )


@pytest.fixture(scope="module")
def clicks(spark: SparkSession) -> Iterator[DataFrame]:
    frame = tables.to_spark(_clicks(2400, seed=1)).cache()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="module")
def model(clicks: DataFrame) -> CtrModel:
    return estimators.DeepFM(**SMALL).fit(clicks, valid=0.2, exclude=["price"])


def test_it_learns_and_predicts(clicks: DataFrame, model: CtrModel) -> None:
    assert [(i.name, i.kind) for i in model.bundle.spec.inputs] == [
        ("color", "categorical"),
        ("size", "categorical"),
        ("sale", "categorical"),
        ("seen", "sequence"),
    ]
    assert model.metrics["valid_auc_raw"] > 0.7
    fresh = _clicks(300, seed=2)
    scored = model.predict(fresh)
    assert list(scored.columns) == [*fresh.columns, "prediction"]
    assert auc(scored["label"].to_numpy(), scored["prediction"].to_numpy()) > 0.7
    on_executors = model.predict(tables.to_spark(fresh.assign(row=range(300), prediction=0.0)).repartition(3))
    assert on_executors.columns == [*fresh.columns, "row", "prediction"]
    assert [row["prediction"] for row in on_executors.orderBy("row").collect()] == scored["prediction"].tolist()


def test_it_is_what_the_job_trains(clicks: DataFrame, model: CtrModel, tmp_path: Path) -> None:
    """The same shards, spec and settings through the job's own objects give the same bits."""
    columns, settings = tables.ExampleColumns(exclude=("price",)), model.bundle.settings
    rows = columns.rows(clicks.repartition(3), settings.inputs)
    held_out.write(rows, 0.2, str(tmp_path / "shards"), shards=estimators.SHARDS)
    train, valid = (str(tmp_path / "shards" / f"{held_out.SPLIT}={split}") for split in ("train", "valid"))
    spec = fit_spec(clicks.sparkSession.read.parquet(train), settings.inputs)
    task = TrainTask(list_shards(train), list_shards(valid), (), spec.to_json(), settings, sample_rate=None)
    bundle = CtrRanker(config={"label": "label"}).fit(task)
    assert bundle.files == model.bundle.files


def test_save_and_load(model: CtrModel, tmp_path: Path) -> None:
    fresh = _clicks(50, seed=2)
    model.save(str(tmp_path / "model"))
    again = estimators.DeepFM.load(str(tmp_path / "model"))
    assert again.predict(fresh)["prediction"].tolist() == model.predict(fresh)["prediction"].tolist()
    assert again.metrics == model.metrics
    with pytest.raises(DataError, match="is a deepfm, not a wide_deep"):
        estimators.WideDeep.load(str(tmp_path / "model"))
    with pytest.raises(DataError, match="no finished model"):
        CtrModel.load(str(tmp_path))


def test_pandas_with_frames_of_its_own_to_validate(spark: SparkSession, tmp_path: Path) -> None:
    """Boolean labels, sampled negatives, named inputs; the files of the training are gone afterwards."""
    frame = _clicks(900, seed=1).assign(clicked=lambda f: f["label"] == 1, rate=lambda f: 0.5 + 0.5 * f["label"])
    ranker = estimators.WideDeep(**SMALL, inputs=[numeric_input("price", "zscore"), numeric_input("size", "zscore")])
    fitted = ranker.fit(
        frame[:600], valid=frame[600:], label="clicked", sample_rate="rate", workdir=str(tmp_path / "shared")
    )
    assert [i.name for i in fitted.bundle.spec.inputs] == ["price", "size"]
    assert fitted.metrics["train_rows"] == 600
    assert fitted.bundle.calibration.shift == pytest.approx(np.log(0.5))
    assert list((tmp_path / "shared").glob("recsys-ctr-*")) == []


def test_held_out_rows_do_not_depend_on_partitions(clicks: DataFrame, tmp_path: Path) -> None:
    rows = clicks.select("size", "label")  # twelve distinct rows, none of which may be on one side only
    first, second = (
        held_out.write(frame, 0.25, str(tmp_path / name), shards=2).groupBy("size", "label", held_out.SPLIT).count()
        for frame, name in ((rows, "a"), (rows.repartition(5, "label"), "b"))
    )
    assert sorted(first.collect()) == sorted(second.collect())
    assert first.count() == 2 * rows.distinct().count()
    held = first.where(F.col(held_out.SPLIT) == "valid").agg(F.sum("count")).first()
    assert held is not None and 500 < held[0] < 700


def test_lists_are_held_out_whole_and_judged(clicks: DataFrame, tmp_path: Path) -> None:
    frame = clicks.withColumn("page", F.pmod(F.xxhash64("color", "size", "price"), F.lit(300)).cast("int"))
    columns = tables.ExampleColumns(group="page", exclude=("price", "at"))
    inputs = columns.inputs(frame, width=4)
    assert [item.name for item in inputs] == ["color", "size", "sale", "seen"]
    written = held_out.write(columns.rows(frame, inputs), 0.3, str(tmp_path / "x"), shards=2, group="page")
    sides = written.groupBy("page").agg(F.countDistinct(held_out.SPLIT).alias("n")).where("n > 1")
    assert sides.count() == 0
    ranker = estimators.DeepFM(**SMALL, loss="softmax", stop_on="list_auc")
    fitted = ranker.fit(frame, valid=0.3, group="page", exclude=["price"])
    assert fitted.metrics["valid_list_auc"] > 0.65
    with pytest.raises(DataError, match="column price is double; it must hold the names of lists"):
        ranker.fit(frame, group="price")


def test_what_was_set_is_shown(model: CtrModel) -> None:
    assert repr(estimators.DeepFM()) == "DeepFM()"
    assert repr(estimators.DeepFM(hidden=[16], epochs=2, embedding_width=4)) == (
        "DeepFM(hidden=(16,), epochs=2, embedding_width=4)"
    )
    assert repr(model).startswith(
        "<fitted DeepFM(hidden=(8,), learning_rate=0.01, batch_size=64, epochs=3, threads=1): 4"
    )


def test_every_setting_is_documented() -> None:
    parameters = inspect.signature(estimators.WideDeep).parameters
    assert {"hidden", "dropout", "epochs", "launcher", "inputs", "embedding_width"} <= set(parameters)
    assert parameters["hidden"].default == (128, 64)
    assert "network" not in parameters
    assert all(f"{name}\n    " in (estimators.WideDeep.__doc__ or "") for name in parameters)
    assert "https://arxiv.org/abs/1606.07792" in (estimators.WideDeep.__doc__ or "")
    assert {"DeepFM", "WideDeep"} <= set(dir(estimators))
    assert issubclass(estimators.DeepFM, CtrEstimator)
    with pytest.raises(AttributeError, match="no attribute Nothing"):
        estimators.Nothing  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epoch": 3}, "DeepFM has no setting epoch; did you mean epochs?"),
        ({"xyz": 3}, "DeepFM has no setting xyz; it has hidden, dropout, "),
        ({"label": "clicked"}, "DeepFM has no setting label; it is an argument of fit: DeepFM"),
        ({"network": {}}, "DeepFM has no setting network"),
        ({"hidden": (0,)}, "DeepFM: hidden.0: input should be greater than or equal to 1"),
        ({"epochs": 0}, "DeepFM: epochs: input should be greater"),
        ({"embedding_width": 0}, "embedding_width is 0; it must be at least 1"),
    ],
)
def test_settings_that_are_wrong(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        estimators.DeepFM(**settings)


@pytest.mark.parametrize(
    ("change", "arguments", "kind", "says"),
    [
        ({}, {"label": "clicked"}, DataError, "the frame has no column clicked; it has color"),
        ({"label": "lit('yes')"}, {}, DataError, "column label is string; it must hold numbers or booleans"),
        ({"label": "if(size = 0, null, label)"}, {}, DataError, r"label has no value in \d+ of \d+ .* rows; fill"),
        ({"label": "label + 1"}, {}, DataError, r"column label holds other values than 0 and 1 in \d+ of \d+"),
        ({"label": "0"}, {}, NothingToDo, r"all \d+ training rows are negative; a ranker needs both classes"),
        ({}, {"valid": "one class"}, NothingToDo, "the validation rows need both classes, but 0 of"),
        ({"rate": "0.0"}, {"sample_rate": "rate"}, DataError, "rate holds no probability above 0"),
        ({}, {"sample_rate": "color"}, DataError, "column color is string; it must hold numbers"),
        ({}, {"exclude": ["shade"]}, DataError, "the frame has no column shade"),
        ({}, {"exclude": ["color", "size", "price", "sale", "seen"]}, ConfigError, "no column can be an input"),
        ({"the price": "price"}, {}, ConfigError, "column 'the price' cannot be an input: .* rename or exclude it"),
        ({}, {"valid": 1.5}, ConfigError, "valid is 1.5; give a share between 0 and 1"),
        ({}, {"empty": True}, NothingToDo, "the frame has no row to train on"),
        ({}, {"few": True}, NothingToDo, "training rows are fewer than min_examples"),
    ],
)
def test_frames_that_are_wrong(
    clicks: DataFrame, change: dict[str, str], arguments: dict[str, Any], kind: type[Exception], says: str
) -> None:
    frame = clicks.where("size < 2").limit(400)
    for name, value in change.items():
        frame = frame.withColumn(name, F.expr(value.replace("lit('yes')", "'yes'")))
    arguments = dict(arguments)
    if arguments.pop("empty", False):
        frame = frame.limit(0)
    if arguments.pop("few", False):
        frame = frame.limit(30)
    if arguments.get("valid") == "one class":
        arguments["valid"] = frame.where("label = 0")
    with pytest.raises(kind, match=says) as caught:
        estimators.DeepFM(**SMALL).fit(frame, **arguments)
    assert "\n" not in str(caught.value)


def test_an_input_made_from_the_label(clicks: DataFrame) -> None:
    with pytest.raises(ConfigError, match="input label is made from the label"):
        estimators.DeepFM(inputs=[numeric_input("label")]).fit(clicks)


def test_supplied_embeddings_become_a_vector(clicks: DataFrame) -> None:
    frame = clicks.select(
        "label", F.array(F.col("price"), F.when(F.col("color") == "red", 1.0).otherwise(0.0)).alias("embedding")
    )
    fitted = estimators.DeepFM(**SMALL).fit(frame, valid=0.2)
    assert [(i.name, i.kind) for i in fitted.bundle.spec.inputs] == [("embedding", "vector")]
    assert fitted.metrics["valid_auc_raw"] > 0.6
    seen = pd.DataFrame({"embedding": [[0.0, 1.0], [0.0, 0.0], None]})
    red, other, unknown = fitted.predict(seen)["prediction"]
    assert red > unknown > other


def test_columns_missing_at_prediction(clicks: DataFrame, model: CtrModel) -> None:
    with pytest.raises(DataError, match="no column color"):
        model.predict(clicks.drop("color"))
    with pytest.raises(DataError, match="lacks the columns color"):
        model.predict(_clicks(3, seed=1).drop(columns="color"))


def test_types_of_pandas_columns(spark: SparkSession) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", None], "d": [["p"], None], "e": [[1], [2, 3]]})
    schema = tables.to_spark(frame).schema
    kinds = [T.LongType(), T.DoubleType(), T.StringType(), T.ArrayType(T.StringType()), T.ArrayType(T.LongType())]
    assert [field.dataType for field in schema.fields] == kinds
    assert [row.asDict()["d"] for row in tables.to_spark(frame).collect()] == [["p"], None]
    with pytest.raises(DataError, match="values of several types"):
        tables.to_spark(pd.DataFrame({"a": ["x", 1]}))


def test_a_cluster_needs_a_shared_directory(clicks: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(clicks.sparkSession.conf), "get", lambda *_: "yarn")
    with pytest.raises(ConfigError, match="on a cluster, fit needs workdir="):
        estimators.DeepFM(**SMALL).fit(clicks)
