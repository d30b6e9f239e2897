"""Networks: settings of their own, one line in the registry, nothing else."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession

from recsys.config import Config, load_config
from recsys.ctr import estimators
from recsys.ctr.networks import registry
from recsys.ctr.networks.deepfm import DeepFM
from recsys.ctr.networks.registry import NETWORKS, architecture
from recsys.ctr.networks.wide_deep import WideDeep
from recsys.ctr.ranker import CtrRanker
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.scoring import score
from recsys.ctr.settings import TrainCtrSettings
from recsys.errors import ConfigError
from tests.ctr import shop
from tests.ctr.toy import Linear

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_has_the_name_of_its_line_and_settings_that_clash_with_none(kind: str) -> None:
    found = architecture(kind)
    assert found().kind == kind
    assert not (set(found.model_fields) & set(TrainCtrSettings.model_fields))
    assert "http" in (found.__doc__ or ""), "name the paper"


def test_kind_and_settings_are_keys_of_the_config() -> None:
    assert load_config().train_ctr.network == DeepFM()
    flags = ["train_ctr.network.kind=wide_deep", "train_ctr.network.hidden=[16]"]
    config = load_config(overrides=flags)
    assert config.train_ctr.network == WideDeep(hidden=(16,))
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert pickle.loads(pickle.dumps(config.train_ctr)) == config.train_ctr


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network.kind=deepfn", "train_ctr.network.kind: there is no network 'deepfn'; did you mean deepfm?"),
        ("network.kind=resnet", "there is no network 'resnet'; known are deepfm, wide_deep"),
        ("network.kind=[1]", "there is no network"),
        ("network.hiden=[1]", "train_ctr.network.hiden: the network deepfm has no such setting; did you mean hidden?"),
        ("network.moon=1", "the network deepfm has no such setting; it has kind, hidden, dropout, batch_norm"),
        ("network.hidden=[0]", "train_ctr.network.hidden.0: input should be greater than or equal to 1"),
        ("network=wide_deep", "a network is written as its kind and settings, such as"),
    ],
)
def test_a_wrong_network_is_one_sentence(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[f"train_ctr.{override}"])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_schema_knows_every_network() -> None:
    schema = TrainCtrSettings.model_json_schema()
    assert schema["properties"]["network"]["anyOf"] == [
        {"$ref": f"#/$defs/{name}"} for name in ("DeepFM", "WideDeep", "FM")
    ]
    assert schema["$defs"]["WideDeep"]["properties"]["hidden"]["default"] == [128, 64]


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "linear", "")  # taken out again at the end
    registry.register("linear", "tests.ctr.toy.Linear")


@pytest.mark.spark
def test_a_network_from_elsewhere(linear: None, spark: SparkSession, tmp_path: Path) -> None:
    """One class and one line: it is trained, saved, loaded, scored on executors and an estimator of the library."""
    task = shop.task(tmp_path, rows=2000, epochs=2)
    settings = TrainCtrSettings.model_validate(
        {**task.settings.model_dump(), "network": {"kind": "linear", "scale": 0.5}}
    )
    bundle = CtrRanker().fit(replace(task, settings=settings))
    assert sorted(bundle.weights) == ["bias", "embedding_4", "embedding_8", "linear"]
    assert bundle.metrics["test_auc_raw"] > 0.7
    again = ModelBundle.from_files(bundle.files)
    assert again.network == Linear(scale=0.5)
    rows = shop.table(40, seed=5).select(again.spec.source_columns)
    frame = spark.createDataFrame(
        rows.to_pandas(), "item_id string, history array<string>, device string, price double, als_score double"
    )
    scored = score(frame.coalesce(1), bundle=again, batch_size=64, keep=["item_id"], figures=["logit"]).collect()
    assert [row["logit"] for row in scored] == again.predict(rows).logit.round(6).tolist()
    flags = [f"train_ctr.network.{flag}" for flag in ("kind=linear", "scale=0.5")]
    assert load_config(overrides=flags).train_ctr.network == Linear(scale=0.5)
    assert estimators.Linear(scale=2.0).settings.network == Linear(scale=2.0)
    assert "Linear" in dir(estimators)
    with pytest.raises(ValidationError, match="the network linear has no such setting; it has kind, scale"):
        TrainCtrSettings.model_validate({"network": {"kind": "linear", "hidden": [3]}})


LIGHT = {
    "recsys.config": ("tensorflow", "keras", "horovod"),
    "recsys.ctr.estimators": ("tensorflow", "keras", "horovod"),
    "recsys.ctr.serving.worker": ("tensorflow", "pyspark", "recsys.config", "recsys.spark"),
    "recsys.ctr.training.launcher": ("tensorflow", "pyspark", "recsys.config", "recsys.spark"),
    "recsys.ctr.training.loop": ("pyspark", "recsys.config", "recsys.spark"),
}
"""Modules, and what importing them must not import: a config has no use for TensorFlow, a rank none for Spark."""


@pytest.mark.parametrize("module", LIGHT)
def test_imports_stay_light(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {LIGHT[module]!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
