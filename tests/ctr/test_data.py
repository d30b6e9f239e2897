"""Shards, their distribution over ranks, and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.base import RowColumns, Shard
from recsys.ctr.files import filesystem
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.training.batches import Epochs
from recsys.ctr.training.reader import Reader, outcome
from recsys.ctr.training.shards import assign, list_shards, snapshot_shards, steps_per_epoch
from recsys.errors import ConfigError, DataError, NothingToDo
from tests.ctr import shop

pytestmark = pytest.mark.fast


def _epochs(directory: Path, *, rows: int = 1000, cache: int = 10**9, batch: int = 64, seed: int = 3) -> Epochs:
    table = shop.table(rows, seed=1)
    table = table.set_column(table.column_names.index("price"), "price", pa.array(np.arange(rows, dtype=float)))
    spec = shop.spec()
    reader = Reader(spec, Layout.of(spec), RowColumns(sample_rate="sample_rate"), weigh=True)
    shards = shop.write(directory, table, shards=3, row_group=100)
    return Epochs(reader, shards, batch_size=batch, seed=seed, rank=0, cache_bytes=cache, window=2)


def _prices(epochs: Epochs, epoch: int, steps: int) -> list[float]:
    return [p for b in epochs.batches(epoch, steps) for p, w in zip(b.dense[:, 0], b.weight, strict=True) if w > 0]


@pytest.mark.parametrize("cache", [10**9, 0])
def test_every_row_once_per_epoch_in_another_order(tmp_path: Path, cache: int) -> None:
    epochs = _epochs(tmp_path, cache=cache)
    assert epochs.cached == (cache > 0)
    first, second = _prices(epochs, 0, 16), _prices(epochs, 1, 16)
    assert len(first) == 1000
    assert sorted(first) == sorted(second)
    assert first != second
    assert first == _prices(_epochs(tmp_path, cache=cache), 0, 16)
    assert first != _prices(_epochs(tmp_path, cache=cache, seed=4), 0, 16)


@pytest.mark.parametrize("cache", [10**9, 0])
def test_batches_have_one_size_and_are_as_many_as_asked(tmp_path: Path, cache: int) -> None:
    epochs = _epochs(tmp_path, cache=cache)
    for steps in (5, 16, 40):
        sizes = [len(batch) for batch in epochs.batches(0, steps)]
        assert sizes == [64] * steps
    assert len(list(_epochs(tmp_path, rows=10, cache=cache).batches(0, 3))) == 3


def test_the_last_batch_is_padded_with_weight_zero(tmp_path: Path) -> None:
    last = list(_epochs(tmp_path).batches(0, 16))[-1]
    assert (last.weight > 0).sum() == 1000 - 15 * 64


def test_assignment_is_even_and_complete() -> None:
    shards = [Shard(f"p{i}", rows) for i, rows in enumerate([5, 1, 4, 3, 0, 3])]
    lots = assign(shards, 2)
    assert [sum(s.rows for s in lot) for lot in lots] == [8, 8]
    assert sorted(s.path for lot in lots for s in lot) == ["p0", "p1", "p2", "p3", "p5"]
    assert steps_per_epoch([8, 8], 3) == 3
    assert steps_per_epoch([6, 5, 5], 2) == 3


def test_too_few_shards_for_the_ranks() -> None:
    with pytest.raises(ConfigError, match="2 training shards are too few for 3 ranks"):
        assign([Shard("a", 1), Shard("b", 1)], 3)


def test_no_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Parquet file in"):
        list_shards(str(tmp_path / "nothing"))


def test_a_snapshot_needs_its_manifest(tmp_path: Path) -> None:
    shop.write(tmp_path / "train", shop.table(10, seed=1), shards=2)
    with pytest.raises(DataError, match="holds no finished snapshot"):
        snapshot_shards(str(tmp_path))
    shop.manifest(tmp_path)
    shards = snapshot_shards(str(tmp_path))
    assert [s.rows for s in shards["train"]] == [5, 5]
    assert shards["valid"] == shards["test"] == ()
    shop.write(tmp_path / "train", shop.table(12, seed=1), shards=3)
    with pytest.raises(DataError, match="the train files in .* are not those of its manifest.json"):
        snapshot_shards(str(tmp_path))
    (tmp_path / "manifest.json").write_text('{"splits": {}}')
    with pytest.raises(NothingToDo, match="has no training examples"):
        snapshot_shards(str(tmp_path))


def test_paths_and_uris(tmp_path: Path) -> None:
    shop.write(tmp_path / "train", shop.table(10, seed=1), shards=1)
    for prefix in ("", "file:", "file://"):
        assert [s.rows for s in list_shards(f"{prefix}{tmp_path}/train")] == [10]
    assert filesystem("dbfs:/x/y")[1] == "/dbfs/x/y"


@pytest.mark.parametrize(
    ("label", "rate", "message"),
    [
        ([0.0, 2.0], [1.0, 1.0], "label must hold 0 or 1"),
        ([0.0, None], [1.0, 1.0], "label must hold 0 or 1"),
        ([0.0, 1.0], [0.0, 1.0], "sample_rate must hold a probability"),
        ([0.0, 1.0], [1.5, 1.0], "sample_rate must hold a probability"),
        ([0.0, 1.0], [None, 1.0], "sample_rate must hold a probability"),
    ],
)
def test_labels_and_rates_are_checked(label: list[float], rate: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        outcome(pa.table({"label": label, "sample_rate": rate}), "label", "sample_rate")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    spec = shop.spec()
    reader = Reader(spec, Layout.of(spec), RowColumns("clicked"), weigh=False)
    shards = shop.write(tmp_path, shop.table(10, seed=1), shards=1)
    with pytest.raises(DataError, match="lacks the columns clicked"):
        reader.table(reader.row_groups(shards)[0])
