"""What a ranker is, and the plain values that training passes around (all of them pickle)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Correction = Literal["auto", "weights", "shift"]
CalibrationKind = Literal["platt", "temperature", "none"]


@dataclass(frozen=True)
class TrainSettings:
    """How a ranker is trained. The same names and meanings as the `ctr` section of the config."""

    model: str = "deepfm"
    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.1
    batch_norm: bool = False
    embedding_l2: float = 1e-5
    optimizer: str = "adagrad"
    embedding_learning_rate: float = 0.02
    learning_rate: float = 1e-3
    batch_size: int = 2048
    epochs: int = 8
    patience: int = 2
    threads: int | None = None
    correction: Correction = "auto"
    calibration: CalibrationKind = "platt"
    cache_mb: int = 2048
    shuffle_row_groups: int = 8
    min_examples: int = 100
    seed: int = 7

    @classmethod
    def of(cls, section: Any) -> TrainSettings:
        """Take the fields of the same name from a config section."""
        return cls(**{name: getattr(section, name) for name in cls.__dataclass_fields__})

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Shard:
    """One Parquet file of examples and its number of rows."""

    path: str
    rows: int


@dataclass(frozen=True)
class Baseline:
    """A column whose order is compared with the model's: `sign` -1 where small is good (a rank, a position)."""

    name: str
    column: str
    sign: int = 1


@dataclass(frozen=True)
class TrainTask:
    """Everything that the ranks need, the same for each of them.

    Attributes
    ----------
    train, valid, test : tuple of Shard
        Parquet files; `test` may be empty.
    spec : str
        The fitted feature spec as JSON.
    label, sample_rate : str
        Column of the label (0 or 1), and of the probability with which a row was kept (None: all were).
    log_dir : str, optional
        Local directory for TensorBoard; written by rank 0.
    """

    train: tuple[Shard, ...]
    valid: tuple[Shard, ...]
    test: tuple[Shard, ...]
    spec: str
    settings: TrainSettings
    label: str = "label"
    sample_rate: str | None = "sample_rate"
    baselines: tuple[Baseline, ...] = ()
    log_dir: str | None = None


@dataclass(frozen=True)
class TrainOutcome:
    """What a rank hands back. Only rank 0 carries weights.

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


@dataclass(frozen=True)
class Predictions:
    """Scores of rows, in their order: the model's logit and the calibrated probability."""

    logit: Floats
    probability: Floats


class RankerModel(Protocol):
    """A fitted ranker: it scores rows that have the columns of its feature spec."""

    def predict(self, rows: pa.Table | pa.RecordBatch) -> Predictions:
        """Score rows; the order is kept, no row is lost, nulls and unknown values are allowed."""
        ...

    def save(self, path: str) -> None:
        """Write the model to a directory, whole or not at all."""
        ...


class Ranker(Protocol):
    """An algorithm that fits a :class:`RankerModel` to labelled examples in Parquet shards."""

    def fit(self, task: TrainTask) -> RankerModel:
        """Train on `task.train`, choose the best epoch on `task.valid`."""
        ...
