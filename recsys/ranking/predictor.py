"""The forward pass alone: what training uses for validation, and executors for scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from recsys.ranking.base import Predictions, TrainSettings
from recsys.ranking.calibration import Calibration
from recsys.ranking.layout import Layout
from recsys.ranking.model import CtrNetwork, Weights
from recsys.ranking.spec import FittedSpec

DECIMALS = 9
"""Scores are computed in double precision and rounded to this. The order of a sum differs with a row's place in its
batch, and so would the last bits of a score: a re-run on other executors could not give the same table."""

Forward = Callable[[Any, Any], Any]


def forward(network: CtrNetwork) -> Forward:
    """Compile a network's forward pass for any number of rows."""

    def run(ids: Any, dense: Any) -> Any:
        return network.logits(ids, dense, training=False)

    signature = [
        tf.TensorSpec((None, network.layout.ids), tf.int32),
        tf.TensorSpec((None, len(network.layout.dense)), tf.float32),
    ]
    compiled: Forward = tf.function(run, input_signature=signature)
    return compiled


def logits(
    run: Forward, ids: npt.NDArray[np.int32], dense: npt.NDArray[np.float32], size: int
) -> npt.NDArray[np.float64]:
    """Return the logits of all rows, computed `size` rows at a time."""
    out = np.empty(len(ids), dtype=np.float64)
    for start in range(0, len(ids), size):
        part = slice(start, min(start + size, len(ids)))
        out[part] = np.asarray(run(ids[part], dense[part]))
    return out


class Predictor:
    """A loaded model, ready to score.

    Parameters
    ----------
    batch_size : int
        Rows computed at once.
    """

    def __init__(
        self,
        spec: FittedSpec,
        settings: TrainSettings,
        weights: Weights,
        calibration: Calibration,
        *,
        batch_size: int = 8192,
    ) -> None:
        self._spec = spec
        self._layout = Layout.of(spec)
        self._calibration = calibration
        self._batch_size = batch_size
        network = CtrNetwork(self._layout, settings, dtype="float64")
        network.load(weights)
        self._forward = forward(network)

    def predict(self, rows: pa.Table | pa.RecordBatch) -> Predictions:
        """Score rows, in their order."""
        packed = self._layout.pack(self._spec.encode(rows), rows.num_rows)
        values = np.round(logits(self._forward, packed.ids, packed.dense, self._batch_size), DECIMALS)
        return Predictions(values, np.round(self._calibration.probability(values), DECIMALS))
