"""What Spark's Python workers run to score rows. It imports neither pyspark nor the config."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.ctr.networks.base import Architecture
from recsys.ctr.serving.bundle import CHECKSUMS, ModelBundle

if TYPE_CHECKING:
    from recsys.ctr.serving.predictor import Predictor

_DIGITS = 6
_MOST = 8
"""Models that a worker keeps: the heads of a ranker, and of the one before it."""
_loaded: dict[str, Predictor] = {}


def score_batches(
    batches: Iterable[pa.RecordBatch],
    files: dict[str, bytes],
    *,
    network: Architecture,
    batch_size: int,
    keep: Sequence[str],
    figures: Sequence[str] = ("prediction", "logit"),
) -> Iterator[pa.RecordBatch]:
    """Score record batches; the model is loaded once per worker, at the first row.

    Parameters
    ----------
    files : dict of str to bytes
        The files of the bundle.
    network : Architecture
        The bundle's network; a worker does not know what the driver has registered.
    batch_size : int
        Rows computed at once.
    keep : sequence of str
        Columns of the input that are passed on, in front of the scores.
    figures : sequence of str
        Which scores: `prediction`, `logit`.
    """
    for batch in batches:
        if batch.num_rows == 0:
            continue
        scores = _predictor(files, network, batch_size).predict(batch)
        found = {"prediction": scores.probability.round(_DIGITS + 3), "logit": scores.logit.round(_DIGITS)}
        columns = [*(batch.column(name) for name in keep), *(pa.array(found[name]) for name in figures)]
        yield pa.RecordBatch.from_arrays(columns, names=[*keep, *figures])


def probabilities(
    batch: pa.RecordBatch, files: dict[str, bytes], *, network: Architecture, batch_size: int
) -> pa.Array:
    """Score one record batch: calibrated probabilities, 0 to 1."""
    return pa.array(_predictor(files, network, batch_size).predict(batch).probability.round(_DIGITS + 3))


def _predictor(files: dict[str, bytes], network: Architecture, batch_size: int) -> Predictor:
    key = hashlib.sha256(files[CHECKSUMS]).hexdigest() + f"-{batch_size}"
    if key not in _loaded:
        import tensorflow as tf

        from recsys.ctr.serving.predictor import Predictor

        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            pass  # TensorFlow already runs in this worker, for an earlier model
        bundle = ModelBundle.from_files(files)
        while len(_loaded) >= _MOST:
            _loaded.pop(next(iter(_loaded)))
        _loaded[key] = Predictor(bundle.spec, network, bundle.weights, bundle.calibration, batch_size=batch_size)
    return _loaded[key]
