"""Scoring the validation and test splits during training: ranks share the row groups, and all get all scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.ctr import metrics
from recsys.ctr.base import Baseline, Shard
from recsys.ctr.calibration import Calibration
from recsys.ctr.training.batches import Reader, Rows, outcome
from recsys.ctr.training.comm import Communicator

Floats = npt.NDArray[np.float64]
Score = Callable[[Rows], Floats]


@dataclass(frozen=True)
class Scored:
    """Scores of a whole split; `weights` undo the sampling (1 / sample_rate)."""

    logits: Floats
    labels: Floats
    weights: Floats

    @property
    def both_classes(self) -> bool:
        """Whether the split has a positive and a negative."""
        return bool(0 < self.labels.sum() < len(self.labels))


class Holdout:
    """One split, divided among ranks by row group; kept encoded in memory if it fits."""

    def __init__(self, reader: Reader, shards: Sequence[Shard], comm: Communicator, *, cache_bytes: int) -> None:
        # Metrics are always over the population: rows weigh 1 / sample_rate here, whatever the loss does.
        self._reader = Reader(reader.spec, reader.layout, reader.label, reader.sample_rate, weigh=True)
        self._groups = reader.row_groups(shards)[comm.rank :: comm.size]
        self._names = reader.names(shards)
        self._comm = comm
        self._keep = sum(s.rows for s in shards) * reader.layout.row_bytes / comm.size <= cache_bytes
        self._kept: list[Rows] | None = None

    def score(self, score: Score) -> Scored:
        """Score the split; the result covers the row groups of all ranks."""
        parts: list[Floats] = []
        for rows in self._rows():
            parts.append(np.stack([score(rows), rows.label.astype(np.float64), rows.weight.astype(np.float64)]))
        mine = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
        of_all_ranks = np.concatenate(self._comm.gather(mine), axis=1)
        return Scored(of_all_ranks[0], of_all_ranks[1], of_all_ranks[2])

    def baselines(self, baselines: Sequence[Baseline]) -> dict[str, float]:
        """Return the AUC of single columns; nulls rank last. Columns that are absent or all null are left out."""
        out: dict[str, float] = {}
        label, rate = self._reader.label, self._reader.sample_rate
        for baseline in (b for b in baselines if b.column in self._names):
            parts: list[Floats] = []
            for group in self._groups:
                columns = [label, *([rate] if rate else []), baseline.column]
                table = self._reader.table(group, columns)
                labels, rates = outcome(table, label, rate)
                values = np.asarray(table.column(baseline.column).to_numpy(), dtype=np.float64) * baseline.sign
                parts.append(np.stack([np.where(np.isfinite(values), values, -np.inf), labels, 1.0 / rates]))
            mine = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
            scores, labels, weights = np.concatenate(self._comm.gather(mine), axis=1)
            if np.isfinite(scores).any():
                out[f"auc_{baseline.name}"] = metrics.auc(labels, scores, weights)
        return out

    def _rows(self) -> Iterator[Rows]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Rows] = []
        for group in self._groups:
            rows = self._reader.encode(self._reader.table(group))
            if self._keep:
                kept.append(rows)
            yield rows
        if self._keep:
            self._kept = kept


def report(scored: Scored, calibration: Calibration) -> dict[str, float]:
    """Return the metrics of a split over the population, raw (corrected for sampling only) and calibrated."""
    raw, calibrated = calibration.raw(scored.logits), calibration.probability(scored.logits)
    labels, weights = scored.labels, scored.weights
    base = np.full_like(labels, metrics.mean(labels, weights))
    figures = {
        "rows": float(len(labels)),
        "base_rate": metrics.mean(labels, weights),
        "mean_raw": metrics.mean(raw, weights),
        "mean_calibrated": metrics.mean(calibrated, weights),
        "auc_raw": metrics.auc(labels, scored.logits, weights),
        "auc_calibrated": metrics.auc(labels, calibrated, weights),
        "logloss_raw": metrics.logloss(labels, raw, weights),
        "logloss_calibrated": metrics.logloss(labels, calibrated, weights),
        "logloss_base_rate": metrics.logloss(labels, base, weights),
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}
