"""Scoring the validation and test splits during training: ranks share the row groups, and all get all scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.ctr import metrics
from recsys.ctr.base import Baseline, Shard
from recsys.ctr.calibration import Calibration, reliability
from recsys.ctr.training.comm import Communicator
from recsys.ctr.training.reader import Codes, Reader, Rows, outcome

Floats = npt.NDArray[np.float64]
RELIABILITY = ("predicted", "observed", "rows")
"""What each bin of a reliability curve holds."""
Score = Callable[[Rows], Floats]
LIST_LENGTH = 10
"""Places of a list that NDCG looks at."""


@dataclass(frozen=True)
class Scored:
    """Scores of a whole split; `weights` undo the sampling (1 / sample_rate), `lists` are codes, if there are lists."""

    logits: Floats
    labels: Floats
    weights: Floats
    lists: Codes | None = None

    @property
    def both_classes(self) -> bool:
        """Whether the split has a positive and a negative."""
        return bool(0 < self.labels.sum() < len(self.labels))

    def within_lists(self) -> dict[str, float]:
        """Return `list_auc` and `ndcg`, over the lists with both classes; nothing if there is no such list."""
        if self.lists is None or len(self.lists) == 0:
            return {}
        values = {
            "list_auc": metrics.list_auc(self.labels, self.logits, self.lists, self.weights),
            "ndcg": metrics.list_ndcg(self.labels, self.logits, self.lists, self.weights, k=LIST_LENGTH),
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}


class Holdout:
    """One split, divided among ranks by row group; kept encoded in memory if it fits."""

    def __init__(self, reader: Reader, shards: Sequence[Shard], comm: Communicator, *, cache_bytes: int) -> None:
        # What was shown how often is a matter of the loss: metrics are of the rows as they are.
        self._reader = replace(reader, columns=replace(reader.columns, propensity=None))
        self._groups = reader.row_groups(shards)[comm.rank :: comm.size]
        self._names = reader.names(shards)
        self._comm = comm
        self._keep = sum(s.rows for s in shards) * reader.layout.row_bytes / comm.size <= cache_bytes
        self._kept: list[Rows] | None = None

    def score(self, score: Score) -> Scored:
        """Score the split; the result covers the row groups of all ranks."""
        parts: list[Floats] = []
        codes: list[Codes] = []
        for rows in self._rows():
            # Metrics are over the population: what a row stands for counts, whatever it weighs in the loss.
            parts.append(np.stack([score(rows), rows.label.astype(np.float64), rows.stands.astype(np.float64)]))
            codes.append(rows.group)
        mine = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
        of_all_ranks = np.concatenate(self._comm.gather(mine), axis=1)
        if self._reader.columns.group is None:
            return Scored(of_all_ranks[0], of_all_ranks[1], of_all_ranks[2])
        lists = np.concatenate(self._comm.gather(np.concatenate([np.zeros(0, dtype=np.uint64), *codes])))
        return Scored(of_all_ranks[0], of_all_ranks[1], of_all_ranks[2], lists)

    def baselines(self, baselines: Sequence[Baseline]) -> dict[str, float]:
        """Return the AUC of single columns; nulls rank last. Columns that are absent or all null are left out."""
        out: dict[str, float] = {}
        label, rate = self._reader.columns.label, self._reader.columns.sample_rate
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
    return {name: value for name, value in figures.items() if math.isfinite(value)} | scored.within_lists()


def curve(scored: Scored, calibration: Calibration) -> dict[str, float]:
    """Return the reliability curve of a split as flat metrics: `reliability_<bin>_<predicted, observed or rows>`."""
    bins = reliability(scored.labels, calibration.probability(scored.logits), scored.weights)
    return {
        f"reliability_{number:02d}_{name}": float(value)
        for number, point in enumerate(bins, start=1)
        for name, value in zip(RELIABILITY, point, strict=True)
    }
