"""What a ranker is, and the plain values that training passes around (all of them pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.ctr.settings import TrainCtrSettings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shard:
    """One Parquet file of examples and its number of rows."""

    path: str
    rows: int


@dataclass(frozen=True)
class Baseline:
    """A column whose ranking is compared with the model's: `sign` is -1 where small values are good (a rank)."""

    name: str
    column: str
    sign: int = 1


@dataclass(frozen=True)
class RowColumns:
    """Which columns say what a row is, beside its inputs.

    Attributes
    ----------
    label : str
        0 or 1; rows where it is null are skipped.
    sample_rate, group, propensity : str, optional
        The probability with which the row was kept; its list; the probability with which it was shown.
    clip : float
        Largest weight that a propensity may give.
    """

    label: str = "label"
    sample_rate: str | None = None
    group: str | None = None
    propensity: str | None = None
    clip: float = 0.0

    @property
    def names(self) -> list[str]:
        """The columns that there are."""
        return [name for name in (self.label, self.sample_rate, self.group, self.propensity) if name]


@dataclass(frozen=True)
class TrainTask:
    """Everything that the ranks need; every rank gets the same.

    Attributes
    ----------
    train, valid, test : tuple of Shard
        Parquet files; `test` may be empty.
    spec : str
        The fitted feature spec as JSON.
    label, sample_rate : str
        Column of the label (0 or 1), and of the probability with which a row was kept (None: all were). Rows whose
        label is null are skipped, so that heads can be trained on one table, each on the rows that have its label.
    log_dir : str, optional
        Local directory for TensorBoard; written by rank 0.
    calibration : tuple of Shard
        Rows that calibration is fitted on; where there are none, it is fitted on `valid`, which also chose the epoch.
    group : str, optional
        Column that names the list of a row: losses over lists and metrics within lists need it.
    propensity : str, optional
        Column of the probability with which the row was shown at all, for `settings.propensity_clip`.
    """

    train: tuple[Shard, ...]
    valid: tuple[Shard, ...]
    test: tuple[Shard, ...]
    spec: str
    settings: TrainCtrSettings
    label: str = "label"
    sample_rate: str | None = "sample_rate"
    baselines: tuple[Baseline, ...] = ()
    log_dir: str | None = None
    calibration: tuple[Shard, ...] = ()
    group: str | None = None
    propensity: str | None = None

    @property
    def columns(self) -> RowColumns:
        """What the columns of the shards mean, beside the inputs."""
        clip = self.settings.propensity_clip
        return RowColumns(
            self.label, self.sample_rate, self.group, self.propensity if clip is not None else None, clip or 0.0
        )


@dataclass(frozen=True)
class TrainOutcome:
    """What a rank returns. Only rank 0 returns weights.

    Attributes
    ----------
    checksum : str
        SHA-256 over all weights, the same on every rank.
    """

    rank: int
    size: int
    checksum: str
    weights: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()


def badness(figures: Mapping[str, float], settings: TrainCtrSettings) -> float:
    """Return the metric of an epoch that `stop_on` names, turned so that less is better."""
    value = figures[f"valid_{settings.stop_on}"]
    return value if settings.stop_on == "logloss" else -value


@dataclass(frozen=True)
class Predictions:
    """Scores of rows, in their order: the model's logit and the calibrated probability."""

    logit: Floats
    probability: Floats


class RankerModel(Protocol):
    """A fitted ranker: it scores rows that have the columns of its feature spec."""

    def predict(self, rows: pa.Table | pa.RecordBatch) -> Predictions:
        """Score every row, in order; nulls and unknown values are allowed."""
        ...

    def save(self, path: str) -> None:
        """Write the model to a directory, whole or not at all."""
        ...


class Ranker(Protocol):
    """An algorithm that fits a :class:`RankerModel` to labeled examples in Parquet shards."""

    def fit(self, task: TrainTask) -> RankerModel:
        """Train on `task.train`; choose the best epoch on `task.valid`."""
        ...
