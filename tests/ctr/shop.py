"""Generated CTR examples whose true click probability is known, as Parquet shards. numpy and pyarrow only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.ctr.base import Baseline, Shard, TrainTask
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.ctr.metrics import sigmoid
from recsys.ctr.networks.registry import architecture
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.shards import list_shards

ITEMS = 40
SETTINGS = TrainCtrSettings.model_validate(
    {
        "network": {"hidden": (16, 8)},
        "batch_size": 128,
        "epochs": 4,
        "patience": 2,
        "threads": 1,
        "learning_rate": 3e-3,
        "embedding_l2": 1e-6,
    }
)


def changed(settings: TrainCtrSettings, **changes: Any) -> TrainCtrSettings:
    """The settings with some replaced, those of the network too: `changed(SETTINGS, dropout=0.0, epochs=1)`."""
    values = settings.model_dump()
    for name, value in changes.items():
        (values if name in values else values["network"])[name] = value
    has = architecture(values["network"]["kind"]).model_fields
    values["network"] = {name: value for name, value in values["network"].items() if name in has}
    return TrainCtrSettings.model_validate(values)


def table(rows: int, *, seed: int, keep_negatives: float = 1.0) -> pa.Table:
    """Examples; `truth` is the probability that the label was drawn with. Negatives are kept with a known rate."""
    random = np.random.default_rng(seed)
    taste = np.random.default_rng(0).normal(0, 1, ITEMS)
    item = random.integers(0, ITEMS, rows)
    device = random.integers(0, 3, rows)
    price = np.exp(random.normal(2, 1, rows))
    score = np.where(random.random(rows) < 0.3, np.nan, random.normal(0, 1, rows))
    lengths = random.integers(0, 6, rows)
    flat = random.integers(0, ITEMS, lengths.sum())
    owner = np.repeat(np.arange(rows), lengths)
    likes = np.bincount(owner, weights=taste[flat], minlength=rows) / np.maximum(lengths, 1)
    logit = -1.5 + taste[item] + 0.5 * (device == 1) - 0.4 * (np.log(price) - 2) + np.nan_to_num(score, nan=-0.5)
    truth = sigmoid(logit + 0.5 * likes)
    label = (random.random(rows) < truth).astype(float)
    rate = np.where(label == 1, 1.0, keep_negatives)
    kept = random.random(rows) < rate
    history = pa.ListArray.from_arrays(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), pa.array([f"i{i}" for i in flat], pa.string())
    )
    whole = pa.table(
        {
            "item_id": [f"i{i}" for i in item],
            "device": [("web", "app", None)[d] for d in device],
            "price": price,
            "als_score": pa.array(score, from_pandas=True),
            "history": history,
            "item_events_30d": np.round(100 * sigmoid(taste[item])),
            "label": label,
            "sample_rate": rate,
            "truth": truth,
        }
    )
    return whole.filter(pa.array(kept))


def spec() -> FittedSpec:
    """A spec by hand: a vocabulary, one shared by a sequence, a hash, numbers with and without nulls, buckets."""
    items = tuple(f"i{i}" for i in range(ITEMS))
    return FittedSpec(
        inputs=(
            FittedInput("item", "item_id", "categorical", "vocabulary", table="item"),
            FittedInput("history", "history", "sequence", "vocabulary", table="item", length=5),
            FittedInput("device", "device", "categorical", "hash", table="device"),
            FittedInput("price", "price", "numeric", "log_zscore", mean=2.2, std=0.8),
            FittedInput("als", "als_score", "numeric", "zscore", mean=0.0, std=1.0, indicator=True),
            FittedInput(
                "price_bucket", "price", "numeric", "buckets", table="price_bucket", boundaries=(3.0, 8.0, 20.0)
            ),
        ),
        tables=(
            EmbeddingTable("item", 8, len(items) + 2, items),
            EmbeddingTable("device", 4, 12),
            EmbeddingTable("price_bucket", 4, 6),
        ),
    )


def write(directory: Path, rows: pa.Table, *, shards: int, row_group: int = 400) -> tuple[Shard, ...]:
    """Write a split evenly over shards."""
    directory.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        first, last = (place * rows.num_rows // shards for place in (index, index + 1))
        pq.write_table(
            rows.slice(first, last - first), directory / f"part-{index:05d}.parquet", row_group_size=row_group
        )
    return list_shards(str(directory))


def manifest(directory: Path, columns: dict[str, str] | None = None) -> None:
    """Write the manifest of a snapshot, as `recsys.store.snapshot` does."""
    splits = {
        split: [{"file": f"{split}/{Path(s.path).name}", "rows": s.rows} for s in list_shards(str(directory / split))]
        for split in ("train", "calibration", "valid", "test")
        if (directory / split).exists()
    }
    (directory / "manifest.json").write_text(json.dumps({"version": 1, "columns": columns or {}, "splits": splits}))


def task(
    directory: Path,
    *,
    rows: int = 4000,
    keep_negatives: float = 1.0,
    shards: int = 2,
    settings: TrainCtrSettings = SETTINGS,
    **changes: object,
) -> TrainTask:
    """A task on generated splits."""
    splits = {
        name: write(directory / name, table(n, seed=seed, keep_negatives=keep_negatives), shards=count)
        for name, n, seed, count in (("train", rows, 1, shards), ("valid", rows // 2, 2, 2), ("test", rows // 2, 3, 1))
    }
    return TrainTask(
        splits["train"],
        splits["valid"],
        splits["test"],
        spec().to_json(),
        changed(settings, **changes),
        baselines=(Baseline("popularity", "item_events_30d"), Baseline("absent", "no_such_column")),
    )
