"""Examples in lists: whole in every batch, judged within; labels and propensities may be missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.base import RowColumns, TrainTask
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.metrics import list_auc
from recsys.ctr.ranker import CtrRanker, snapshot_task
from recsys.ctr.training.batches import Epochs
from recsys.ctr.training.reader import Reader, inverse_propensities, lists_of
from recsys.ctr.training.shards import steps_per_epoch
from recsys.errors import ConfigError, DataError
from tests.ctr import shop

pytestmark = pytest.mark.fast


def _table(rows: int, *, seed: int, longest: int = 9) -> pa.Table:
    """The shop's examples in lists of 1 to `longest` rows."""
    sizes = np.random.default_rng(seed).integers(1, longest + 1, rows)
    numbers = np.repeat(np.arange(rows), sizes)[:rows]
    return shop.table(rows, seed=seed).append_column("list_id", pa.array([f"l{n}" for n in numbers]))


def _epochs(directory: Path, table: pa.Table, *, batch: int, cache: int = 10**9) -> Epochs:
    spec = shop.spec()
    reader = Reader(spec, Layout.of(spec), RowColumns(group="list_id"), weigh=False)
    shards = shop.write(directory, table, shards=2, row_group=100)
    return Epochs(
        reader, shards, batch_size=batch, seed=3, rank=0, cache_bytes=cache, window=3, whole_lists=True
    )  # fmt: skip


def test_a_batch_never_cuts_a_list(tmp_path: Path) -> None:
    table = _table(1000, seed=1)
    sizes = dict(zip(*np.unique(lists_of(table, "list_id"), return_counts=True), strict=True))
    steps = steps_per_epoch([1000], 64, longest=max(sizes.values()))
    seen: dict[int, int] = {}
    for batch in _epochs(tmp_path, table, batch=64).batches(0, steps):
        assert len(batch) == 64
        codes, counts = np.unique(batch.group[batch.weight > 0], return_counts=True)
        assert [sizes[code] for code in codes] == counts.tolist()
        for code in codes:
            seen[code] = seen.get(code, 0) + 1
    assert set(seen) == set(sizes), "every list at least once"
    assert np.mean(list(seen.values())) < 1.2


def test_lists_are_shuffled_anew(tmp_path: Path) -> None:
    epochs = _epochs(tmp_path, _table(1000, seed=1), batch=64)
    first, second = ([b.group.tolist() for b in epochs.batches(epoch, 10)] for epoch in (0, 1))
    assert first != second
    assert first == [b.group.tolist() for b in epochs.batches(0, 10)]


def test_without_the_cache_a_row_group_at_a_time(tmp_path: Path) -> None:
    batches = list(_epochs(tmp_path, _table(1000, seed=1), batch=64, cache=0).batches(0, 18))
    assert {len(batch) for batch in batches} == {64}
    assert sum(int((batch.weight > 0).sum()) for batch in batches) >= 1000


def test_a_list_longer_than_a_batch_is_cut(tmp_path: Path) -> None:
    table = shop.table(100, seed=1).append_column("list_id", pa.array(["a"] * 70 + ["b"] * 30))
    batches = list(_epochs(tmp_path, table, batch=32).batches(0, steps_per_epoch([100], 32, longest=70)))
    assert sum(int((batch.weight > 0).sum()) for batch in batches) >= 100
    assert {len(batch) for batch in batches} == {32}


def _task(directory: Path, epochs: int = 3, **changes: object) -> TrainTask:
    """A task on lists, with a calibration split."""
    task = shop.task(directory, rows=600, epochs=epochs, **changes)
    splits = {
        name: shop.write(directory / f"lists-{name}", _table(n, seed=seed), shards=2)
        for name, n, seed in (("train", 6000, 1), ("valid", 2000, 2), ("test", 2000, 3), ("calibration", 2000, 4))
    }
    return replace(task, **splits, group="list_id")


@pytest.mark.parametrize("loss", ["softmax", "pairwise"])
def test_a_loss_over_lists_learns_their_order(tmp_path: Path, loss: str) -> None:
    bundle = CtrRanker().fit(_task(tmp_path, loss=loss, stop_on="ndcg", learning_rate=0.01))
    assert bundle.metrics["test_list_auc"] > 0.72
    assert bundle.metrics["test_ndcg"] > bundle.metrics["test_list_auc"]
    # the share of cross-entropy keeps the level, and calibration does the rest
    assert bundle.metrics["test_mean_calibrated"] == pytest.approx(bundle.metrics["test_base_rate"], rel=0.1)
    assert bundle.metrics["test_logloss_calibrated"] < bundle.metrics["test_logloss_base_rate"]


@pytest.mark.parametrize("loss", ["softmax", "pairwise"])
def test_a_loss_over_lists_gives_the_same_bits_again(tmp_path: Path, loss: str) -> None:
    task = shop.task(tmp_path, rows=600, epochs=1, loss=loss)
    lists = replace(task, train=shop.write(tmp_path / "lists", _table(900, seed=1), shards=1), group="item_id")
    assert CtrRanker().fit(lists).checksums == CtrRanker().fit(lists).checksums


def test_metrics_within_lists_are_those_of_the_scores(tmp_path: Path) -> None:
    task = _task(tmp_path, epochs=1)
    bundle = CtrRanker().fit(task)
    rows = _table(2000, seed=3)
    logits = bundle.predict(rows).logit
    lists = np.unique(rows["list_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    expected = list_auc(rows["label"].to_numpy(), logits, lists)
    assert bundle.metrics["test_list_auc"] == pytest.approx(expected, abs=1e-4)
    assert "valid_ndcg" in bundle.metrics
    assert "valid_ndcg" not in CtrRanker().fit(replace(task, group=None)).metrics


def test_calibration_is_fitted_on_its_own_rows(tmp_path: Path) -> None:
    """Half of the labels of the calibration split become 1: only what was fitted there knows of it."""
    task = _task(tmp_path, epochs=1)
    rows = _table(4000, seed=5)
    noise = np.where(np.random.default_rng(0).random(4000) < 0.5, rows["label"].to_numpy(), 1.0)
    place = rows.column_names.index("label")
    noisy = rows.set_column(place, "label", pa.array(noise))
    fitted = CtrRanker().fit(replace(task, calibration=shop.write(tmp_path / "noisy", noisy, shards=1)))
    assert fitted.metrics["calibration_mean_calibrated"] == pytest.approx(noise.mean(), abs=0.005)
    assert fitted.metrics["valid_mean_calibrated"] > fitted.metrics["valid_base_rate"] + 0.2
    without = CtrRanker().fit(replace(task, calibration=()))
    assert without.metrics["valid_mean_calibrated"] == pytest.approx(without.metrics["valid_base_rate"], rel=0.01)
    assert not any(name.startswith("calibration_") for name in without.metrics)


def test_rows_without_a_label_are_skipped(tmp_path: Path) -> None:
    """Half of the rows have no label: the same counts, steps and bits as without these rows."""
    task = shop.task(tmp_path, rows=1200, epochs=2)
    rows = shop.table(1200, seed=1)
    known = np.arange(1200) % 2 == 0
    labels = pa.array(np.where(known, rows["label"].to_numpy(), np.nan), from_pandas=True)
    holes = rows.set_column(rows.column_names.index("label"), "label", labels)
    with_holes = replace(task, train=shop.write(tmp_path / "holes", holes, shards=1))
    dense = replace(task, train=shop.write(tmp_path / "dense", rows.filter(pa.array(known)), shards=1, row_group=200))
    one, other = CtrRanker().fit(with_holes), CtrRanker().fit(dense)
    assert one.metrics["train_rows"] == 600
    assert one.checksums["weights.npz"] == other.checksums["weights.npz"]


def test_inverse_propensities_are_clipped_and_may_be_unknown() -> None:
    rows = pa.table({"p": [1.0, 0.5, 0.01, None]})
    assert inverse_propensities(rows, RowColumns(propensity="p", clip=10.0)).tolist() == [1.0, 2.0, 10.0, 1.0]
    assert inverse_propensities(rows, RowColumns()).tolist() == [1.0] * 4
    with pytest.raises(DataError, match="column p must hold a probability above 0, or nothing"):
        inverse_propensities(pa.table({"p": [0.0]}), RowColumns(propensity="p", clip=10.0))


def test_inverse_propensities_undo_what_the_old_policy_showed(tmp_path: Path) -> None:
    """Rows that were clicked were logged four times as often: with weights the base rate is that of all rows."""
    task = shop.task(tmp_path, rows=8000, epochs=1)
    rows = shop.table(8000, seed=1)
    chance = np.where(rows["label"].to_numpy() == 1, 1.0, 0.25)
    logged = rows.append_column("propensity", pa.array(chance)).filter(
        pa.array(np.random.default_rng(4).random(8000) < chance)
    )
    biased = replace(task, train=shop.write(tmp_path / "logged", logged, shards=1), propensity="propensity")
    plain = CtrRanker().fit(biased)
    settings = shop.changed(task.settings, propensity_clip=20.0)
    weighed = CtrRanker().fit(replace(biased, settings=settings))
    assert plain.metrics["valid_mean_raw"] > weighed.metrics["valid_mean_raw"] + 0.1
    assert weighed.metrics["valid_mean_raw"] == pytest.approx(weighed.metrics["valid_base_rate"], abs=0.05)


@pytest.mark.parametrize(
    ("changes", "group", "says"),
    [
        ({"loss": "softmax"}, None, "train_ctr.loss softmax needs lists"),
        ({"stop_on": "ndcg"}, None, "train_ctr.stop_on ndcg is a metric within lists"),
        ({"stop_on": "list_auc"}, "price", "must hold texts"),
    ],
)
def test_lists_that_are_missing(tmp_path: Path, changes: dict[str, object], group: str | None, says: str) -> None:
    task = shop.task(tmp_path, rows=600, epochs=1, **changes)
    with pytest.raises((ConfigError, DataError), match=says):
        CtrRanker().fit(replace(task, group=group))


def test_a_row_of_no_list() -> None:
    with pytest.raises(DataError, match="column list_id names no list in 1 of 2 examples"):
        lists_of(pa.table({"list_id": ["a", None]}), "list_id")


def test_a_snapshot_tells_its_lists_and_its_calibration_split(tmp_path: Path) -> None:
    for split, rows in (("train", 300), ("calibration", 90), ("valid", 100), ("test", 100)):
        shop.write(tmp_path / split, _table(rows, seed=1), shards=1)
    shop.manifest(tmp_path, columns={"list_id": "string", "propensity": "double"})
    task = snapshot_task(str(tmp_path), spec=shop.spec(), settings=shop.SETTINGS, label="bought")
    assert (task.label, task.group, task.propensity) == ("bought", "list_id", "propensity")
    assert sum(shard.rows for shard in task.calibration) == 90
