"""Training in-process, on examples whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.base import TrainTask
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.ctr.metrics import auc, mean
from recsys.ctr.networks.registry import NETWORKS
from recsys.ctr.ranker import CtrRanker, default_baselines, snapshot_task
from recsys.ctr.serving.bundle import ModelBundle
from recsys.errors import ConfigError, DataError, NothingToDo
from tests.ctr import shop

pytestmark = pytest.mark.fast

Fit = tuple[TrainTask, ModelBundle]


@pytest.fixture(scope="module", params=["weights", "shift"])
def sampled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fit]:
    """One negative in five is kept; both corrections must lead back to the population."""
    folder = tmp_path_factory.mktemp(request.param)
    task = shop.task(folder, rows=16000, keep_negatives=0.2, correction=request.param)
    task = replace(task, log_dir=str(folder / "logs"))
    yield task, CtrRanker().fit(task)


def test_better_than_popularity_and_below_the_ceiling(sampled: Fit) -> None:
    _, bundle = sampled
    population = shop.table(20000, seed=9)
    labels = population["label"].to_numpy()
    ceiling = auc(labels, population["truth"].to_numpy())
    model = auc(labels, bundle.predict(population).probability)
    popularity = auc(labels, population["item_events_30d"].to_numpy())
    print(f"popularity {popularity:.4f} model {model:.4f} ceiling {ceiling:.4f}")
    assert popularity + 0.05 < model < ceiling + 0.002
    assert model > ceiling - 0.02


def test_calibrated_predictions_match_the_base_rate(sampled: Fit) -> None:
    _, bundle = sampled
    figures = bundle.metrics
    assert figures["valid_mean_calibrated"] == pytest.approx(figures["valid_base_rate"], rel=0.01)
    population = shop.table(20000, seed=9)
    expected = mean(population["label"].to_numpy())
    assert bundle.predict(population).probability.mean() == pytest.approx(expected, rel=0.1)
    # the sample itself has more than twice as many positives
    assert figures["train_base_rate"] == pytest.approx(expected, rel=0.1)


def test_figures_raw_and_calibrated_apart(sampled: Fit) -> None:
    _, bundle = sampled
    figures = bundle.metrics
    for split in ("valid", "test"):
        assert figures[f"{split}_logloss_calibrated"] < figures[f"{split}_logloss_base_rate"]
        assert figures[f"{split}_auc_raw"] == pytest.approx(figures[f"{split}_auc_calibrated"], abs=1e-9)
        assert figures[f"{split}_auc_popularity"] < figures[f"{split}_auc_raw"]
    assert figures["valid_logloss_calibrated"] <= figures["valid_logloss_raw"] + 1e-9
    assert not any("absent" in name for name in figures)
    assert figures["ranks"] == 1
    assert bundle.calibration.shift == (pytest.approx(np.log(0.2)) if bundle.settings.correction == "shift" else 0.0)


def test_tensorboard_logs_are_written(sampled: Fit) -> None:
    task, _ = sampled
    assert task.log_dir is not None
    assert [p.name for p in Path(task.log_dir).iterdir() if "tfevents" in p.name]


def test_auto_weighs_where_rates_differ_within_a_class(tmp_path: Path) -> None:
    task = shop.task(tmp_path, rows=600, epochs=1, batch_size=64)
    rows = shop.table(600, seed=1)
    rates = np.where(rows["label"].to_numpy() == 1, 1.0, np.where(np.arange(600) % 2, 0.5, 0.25))
    rows = rows.set_column(rows.column_names.index("sample_rate"), "sample_rate", pa.array(rates))
    mixed = replace(task, train=shop.write(tmp_path / "mixed", rows, shards=1))
    assert CtrRanker().fit(mixed).calibration.shift == 0.0
    with pytest.raises(ConfigError, match="needs one sample_rate per class"):
        CtrRanker().fit(replace(mixed, settings=shop.changed(mixed.settings, correction="shift")))


def test_best_epoch_wins_and_a_plateau_stops(tmp_path: Path) -> None:
    task = shop.task(tmp_path, rows=1500, epochs=30, learning_rate=0.03, dropout=0.0, hidden=(64, 64), patience=1)
    bundle = CtrRanker().fit(task)
    assert bundle.metrics["epochs"] < 30
    assert bundle.metrics["best_epoch"] < bundle.metrics["epochs"]
    best = CtrRanker().fit(
        replace(task, settings=shop.changed(task.settings, epochs=int(bundle.metrics["best_epoch"])))
    )
    if bundle.metrics["best_epoch"] == 1:  # before the first slow-down both runs are the same
        assert best.metrics["valid_logloss_raw"] == bundle.metrics["valid_logloss_raw"]
    assert bundle.metrics["valid_logloss_raw"] <= best.metrics["valid_logloss_raw"] + 1e-9


def test_refit_is_a_training_on_all_rows(tmp_path: Path) -> None:
    task = shop.task(tmp_path, rows=1500, epochs=2)
    held_out = CtrRanker().fit(task)
    assert held_out.metrics["best_epoch"] == 2  # so both trainings take the same epochs
    again = CtrRanker().fit(replace(task, settings=shop.changed(task.settings, refit=True)))
    everything = task.train + task.calibration + task.valid + task.test
    whole = CtrRanker().fit(replace(task, train=everything))
    assert whole.metrics["best_epoch"] == 2
    assert {name: value.tolist() for name, value in again.weights.items()} == {
        name: value.tolist() for name, value in whole.weights.items()
    }
    assert again.metrics == {**held_out.metrics, "refit_rows": sum(shard.rows for shard in everything)}
    assert again.calibration == held_out.calibration


def test_refit_repeats_the_rates_that_led_to_the_best_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys.ctr.training import loop

    task = shop.task(tmp_path, rows=600, epochs=9)
    losses = iter([5.0, 4.0, 4.5, 3.0, 2.0, 2.5, 2.6, 1.0, 1.0])  # epoch 3 is undone, and so are those after epoch 5
    monkeypatch.setattr(loop, "badness", lambda figures, settings: next(losses))
    monkeypatch.setattr(loop, "_described", lambda *args: {})
    found: list[list[float]] = []
    monkeypatch.setattr(loop, "_refit", lambda task, rates, comm: (found.append(list(rates)), ({}, 0.0))[1])
    CtrRanker().fit(replace(task, settings=shop.changed(task.settings, refit=True, patience=1)))
    assert found == [[1.0, 1.0, 0.1, 0.1]]


def test_a_cache_too_small_reads_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = shop.task(tmp_path, rows=3000, epochs=2)
    from recsys.ctr.training import loop as train

    settings = shop.changed(task.settings, shuffle_row_groups=2).model_copy(update={"cache_mb": 0})
    made: list[bool] = []

    class Watched(train.Epochs):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self.cached)

    monkeypatch.setattr(train, "Epochs", Watched)
    streamed = CtrRanker().fit(replace(task, settings=settings))
    assert made == [False]
    assert streamed.metrics["test_auc_raw"] > 0.7


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path) -> None:
    task = shop.task(tmp_path, rows=600, learning_rate=1e30, embedding_learning_rate=1e30)
    with pytest.raises(DataError, match="no longer a number"):
        CtrRanker().fit(task)


def test_too_few_examples_are_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="fewer than train_ctr.min_examples"):
        CtrRanker().fit(shop.task(tmp_path, rows=600, min_examples=10**6))


@pytest.mark.parametrize(("value", "kind"), [(0.0, "negative"), (1.0, "positive")])
def test_one_class_is_refused(tmp_path: Path, value: float, kind: str) -> None:
    task = shop.task(tmp_path, rows=600)
    rows = shop.table(600, seed=1)
    same = rows.set_column(rows.column_names.index("label"), "label", pa.array(np.full(600, value)))
    with pytest.raises(NothingToDo, match=f"all 600 training examples are {kind}"):
        CtrRanker().fit(replace(task, train=shop.write(tmp_path / "same", same, shards=1)))
    with pytest.raises(NothingToDo, match="it needs both classes"):
        CtrRanker().fit(replace(task, valid=shop.write(tmp_path / "same", same, shards=1)))
    assert "test_auc_raw" not in CtrRanker().fit(replace(task, test=())).metrics


def test_only_numbers_and_only_categories(tmp_path: Path) -> None:
    task = shop.task(tmp_path, rows=1000, epochs=1)
    spec = shop.spec()
    numbers = FittedSpec(tuple(i for i in spec.inputs if i.table is None), ())
    categories = FittedSpec(tuple(i for i in spec.inputs if i.name == "item"), (spec.table("item"),))
    for part in (numbers, categories):
        for kind in NETWORKS:
            settings = shop.changed(task.settings, kind=kind)
            assert CtrRanker().fit(replace(task, spec=part.to_json(), settings=settings)).metrics["valid_auc_raw"] > 0.5


@pytest.mark.parametrize(
    "changes", [{"optimizer": "adam"}, {"batch_norm": True}, {"dropout": 0.0, "calibration": "temperature"}]
)
def test_other_settings_learn_too(tmp_path: Path, changes: dict[str, object]) -> None:
    bundle = CtrRanker().fit(shop.task(tmp_path, rows=6000, epochs=3, embedding_l2=0.0, **changes))
    assert bundle.metrics["test_auc_raw"] > 0.74
    rows = shop.table(50, seed=4)
    again = ModelBundle.from_files(bundle.files)
    assert again.predict(rows).logit.tolist() == bundle.predict(rows).logit.tolist()


def test_a_foreign_table(tmp_path: Path) -> None:
    """Another label, another shape, no sampling: the ranker knows the spec alone."""
    random = np.random.default_rng(0)

    def foreign(n: int) -> pa.Table:
        c1, c2 = random.integers(0, 9, n), random.integers(0, 5, n)
        chance = np.where((c1 + c2) % 2 == 0, 0.8, 0.2)
        return pa.table(
            {
                "C1": c1,
                "C2": [f"v{i}" for i in c2],
                "I1": random.normal(size=n),
                "clicked": (random.random(n) < chance).astype(int),
            }
        )

    shards = {name: shop.write(tmp_path / name, foreign(n), shards=2) for name, n in (("train", 8000), ("valid", 2000))}
    spec = FittedSpec(
        inputs=(
            FittedInput("C1", "C1", "categorical", "vocabulary", table="C1"),
            FittedInput("C2", "C2", "categorical", "hash", table="C2"),
            FittedInput("I1", "I1", "numeric", "zscore"),
        ),
        tables=(EmbeddingTable("C1", 4, 11, tuple(str(i) for i in range(9))), EmbeddingTable("C2", 4, 66)),
    )
    settings = shop.changed(shop.SETTINGS, epochs=6, learning_rate=0.01, dropout=0.0)
    task = TrainTask(shards["train"], shards["valid"], (), spec.to_json(), settings, label="clicked", sample_rate=None)
    assert CtrRanker().fit(task).metrics["valid_auc_raw"] > 0.75  # 0.8 at best; either column alone says nothing


def test_a_snapshot_becomes_a_task(tmp_path: Path) -> None:
    shop.task(tmp_path, rows=400)
    shop.manifest(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "old").write_text("x")
    task = snapshot_task(
        str(tmp_path), spec=shop.spec(), settings=shop.SETTINGS, baselines=default_baselines(), log_dir=str(logs)
    )
    assert [b.name for b in task.baselines] == ["popularity", "candidate_rank", "position"]
    assert not logs.exists()
    assert [sum(s.rows for s in part) for part in (task.train, task.valid, task.test)] == [400, 200, 200]
    assert snapshot_task(str(tmp_path), spec=shop.spec(), settings=shop.SETTINGS, log_dir="s3://b/x").log_dir is None
