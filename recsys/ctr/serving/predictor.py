"""The forward pass alone: training uses it for validation, executors for scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from recsys.ctr.base import Predictions
from recsys.ctr.calibration import Calibration
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.networks.base import Architecture
from recsys.ctr.networks.network import Network, Weights

DECIMALS = 9
"""Scores are computed in double precision and rounded to this. The order of summation depends on a row's place in its
batch, and so do the last bits of a score; unrounded, a re-run on other executors could give another table."""

Forward = Callable[[Any, Any], Any]


def forward(network: Network) -> Forward:
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
        architecture: Architecture,
        weights: Weights,
        calibration: Calibration,
        *,
        batch_size: int = 8192,
    ) -> None:
        self._spec = spec
        self._layout = Layout.of(spec)
        self._calibration = calibration
        self._batch_size = batch_size
        network = Network(architecture, self._layout, dtype="float64")
        network.load(weights)
        self._forward = forward(network)

    def predict(self, rows: pa.Table | pa.RecordBatch) -> Predictions:
        """Score rows, in their order."""
        packed = self._layout.pack(self._spec.encode(rows), rows.num_rows)
        values = np.round(logits(self._forward, packed.ids, packed.dense, self._batch_size), DECIMALS)
        return Predictions(values, np.round(self._calibration.probability(values), DECIMALS))
