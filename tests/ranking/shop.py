"""Generated CTR examples whose true click probability is known, as Parquet shards. numpy and pyarrow only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.ranking.base import Baseline, Shard, TrainSettings, TrainTask
from recsys.ranking.data import list_shards
from recsys.ranking.metrics import sigmoid
from recsys.ranking.spec import EmbeddingTable, FittedInput, FittedSpec

ITEMS = 40
SETTINGS = TrainSettings(
    hidden=(16, 8),
    batch_size=128,
    epochs=4,
    threads=1,
    dropout=0.1,
    learning_rate=3e-3,
    embedding_l2=1e-6,
    embedding_learning_rate=0.05,
)


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


def manifest(directory: Path) -> None:
    """Write the manifest of a snapshot, as `recsys.io.snapshot` does."""
    splits = {
        split: [{"file": f"{split}/{Path(s.path).name}", "rows": s.rows} for s in list_shards(str(directory / split))]
        for split in ("train", "valid", "test")
        if (directory / split).exists()
    }
    (directory / "manifest.json").write_text(json.dumps({"version": 1, "splits": splits}))


def task(
    directory: Path,
    *,
    rows: int = 4000,
    keep_negatives: float = 1.0,
    shards: int = 2,
    settings: TrainSettings = SETTINGS,
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
        replace(settings, **changes),  # type: ignore[arg-type]
        baselines=(Baseline("popularity", "item_events_30d"), Baseline("absent", "no_such_column")),
    )
