"""AUC and logloss of the ranker on a click table with a published split: Frappe, through the library.

`python -m benchmarks.ctr --data DIR --dataset frappe --seeds 3`, where DIR/frappe holds `train_reconstructed.libfm.gz`,
`validation.libfm.gz`, `test.libfm.gz` and `feature_map.json`. The validation split chooses the epoch and fits the
calibration, and chose the settings below; the test split is only scored.
The last line on stdout is one JSON object; every metric is the mean over the seeds, `_sd` its standard deviation.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import recsys
from benchmarks.machine import Meter, describe, now
from recsys.ctr.fitted import CtrModel
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.metrics import auc, logloss, sigmoid
from recsys.spark import local_session

SPLITS = {"train": "train_reconstructed", "valid": "validation", "test": "test"}
WIDTH = 10
SETTINGS: dict[str, Any] = {
    "hidden": (200, 200),
    "dropout": 0.2,
    "batch_norm": True,
    "optimizer": "adam",
    "embedding_learning_rate": 1e-3,
    "learning_rate": 1e-3,
    "embedding_l2": 0.1,
    "batch_size": 4096,
    "epochs": 40,
    "patience": 2,
    "stop_on": "auc",
}
"""Chosen on the validation split."""


def fields(folder: Path) -> list[str]:
    """Names of the fields, in the order in which a line holds their values."""
    found = json.loads((folder / "feature_map.json").read_text())
    return sorted(found, key=lambda name: int(found[name]["offset"]))


def table(path: Path, names: list[str]) -> pa.Table:
    """Read a split: a line is the label, -1 or 1, and one `index:1` per field."""
    with gzip.open(path, "rt") as lines:
        rows = [line.split() for line in lines]
    columns = {name: [row[place].partition(":")[0] for row in rows] for place, name in enumerate(names, 1)}
    return pa.table({**columns, "label": [float(row[0]) > 0 for row in rows]})


def inputs(names: list[str]) -> list[InputSpec]:
    """Every field as a category; values that occur once have an embedding too."""
    return [
        InputSpec(name=name, source=name, kind="categorical", transform="vocabulary", width=WIDTH, min_count=1)
        for name in names
    ]


def judged(model: CtrModel, test: pa.Table) -> dict[str, float]:
    """Metrics on the test split, raw and calibrated apart."""
    found, labels = model.bundle.predict(test), test["label"].to_numpy(zero_copy_only=False).astype(float)
    return {
        "auc": auc(labels, found.logit),
        "logloss": logloss(labels, sigmoid(found.logit)),
        "logloss_calibrated": logloss(labels, found.probability),
        "valid_auc": model.metrics["valid_auc_raw"],
        "valid_logloss_calibrated": model.metrics["valid_logloss_calibrated"],
        "best_epoch": model.metrics["best_epoch"],
    }


def fits(folder: Path, network: str, settings: dict[str, Any], seeds: int) -> list[dict[str, float]]:
    """Fit once per seed and judge each fit."""
    names, metrics = fields(folder), []
    with local_session("ctr", cores=2) as spark, tempfile.TemporaryDirectory() as work:
        for split, name in SPLITS.items():
            pq.write_table(table(folder / f"{name}.libfm.gz", names), f"{work}/{split}.parquet")
        train, valid = (spark.read.parquet(f"{work}/{split}.parquet") for split in ("train", "valid"))
        test = pq.read_table(f"{work}/test.parquet")
        for seed in range(1, seeds + 1):
            started = now()
            ranker = getattr(recsys, network)(**settings, inputs=inputs(names), seed=seed)
            metrics.append({**judged(ranker.fit(train, valid=valid), test), "seconds": now() - started})
            print(f"seed {seed}: " + ", ".join(f"{key} {value:.5f}" for key, value in metrics[-1].items()), flush=True)
    return metrics


def summary(metrics: list[dict[str, float]]) -> dict[str, float]:
    """Means over the fits, and deviations of what is compared with published figures."""
    out = {name: round(float(np.mean([found[name] for found in metrics])), 5) for name in metrics[0]}
    for name in ("auc", "logloss_calibrated"):
        spread = np.std([found[name] for found in metrics], ddof=1) if len(metrics) > 1 else 0.0
        out[f"{name}_sd"] = round(float(spread), 5)
    return out


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder of the data sets")
    parser.add_argument("--dataset", default="frappe", choices=["frappe"])
    parser.add_argument("--seeds", type=int, default=3, help="how many fits, with seeds 1, 2, …")
    parser.add_argument("--network", default="DeepFM", help="class of the network in recsys, such as DeepFM")
    parser.add_argument("--set", dest="changes", default="{}", help="settings to change, as JSON")
    given = parser.parse_args()
    settings = {**SETTINGS, **json.loads(given.changes)}
    with Meter() as meter:
        metrics = summary(fits(given.data / given.dataset, given.network, settings, given.seeds))
        metrics |= {"cpu_s": round(meter.cpu_seconds(), 1), "peak_gib": round(meter.take_peak() / 2**30, 2)}
    told = {"network": given.network, "seeds": given.seeds, **settings}
    print(
        json.dumps({"name": "ctr", "data": given.dataset, "metrics": metrics, "settings": told, "machine": describe()})
    )


if __name__ == "__main__":
    main()
