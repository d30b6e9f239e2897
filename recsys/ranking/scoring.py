"""Scoring a DataFrame on executors: the bundle travels as bytes; spec and network are those of training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from recsys.ranking.bundle import CHECKSUMS, ModelBundle

_DIGITS = 6
_loaded: dict[str, Any] = {}


def score(df: DataFrame, *, bundle: ModelBundle, batch_size: int, keep: Sequence[str]) -> DataFrame:
    """Score every row.

    Parameters
    ----------
    df : DataFrame
        Rows with the bundle's `spec.source_columns` and the columns to keep.
    batch_size : int
        Rows computed at once.
    keep : sequence of str
        Columns of `df` that the result has.

    Returns
    -------
    DataFrame
        `keep`, then `prediction` (calibrated probability, 0 to 1) and `logit` (of the network, before calibration),
        one row per row of `df`. A row's figures do not depend on the rows around it.
    """
    schema = T.StructType(
        [df.schema[name] for name in keep]
        + [T.StructField("prediction", T.DoubleType(), False), T.StructField("logit", T.DoubleType(), False)]
    )
    needed = list(dict.fromkeys([*keep, *bundle.spec.source_columns]))
    payload = df.sparkSession.sparkContext.broadcast(bundle.files)
    kept = list(keep)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return score_batches(batches, payload.value, batch_size=batch_size, keep=kept)

    return df.select(*needed).mapInArrow(run, schema)


def score_batches(
    batches: Iterable[pa.RecordBatch], files: dict[str, bytes], *, batch_size: int, keep: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Score record batches in a Python worker; the model is loaded once per worker, at the first row."""
    for batch in batches:
        if batch.num_rows == 0:
            continue
        scores = _predictor(files, batch_size).predict(batch)
        columns = [batch.column(name) for name in keep]
        figures = [pa.array(values.round(_DIGITS + 3)) for values in (scores.probability, scores.logit.round(_DIGITS))]
        yield pa.RecordBatch.from_arrays([*columns, *figures], names=[*keep, "prediction", "logit"])


def _predictor(files: dict[str, bytes], batch_size: int) -> Any:
    key = hashlib.sha256(files[CHECKSUMS]).hexdigest() + f"-{batch_size}"
    if key not in _loaded:
        import tensorflow as tf

        from recsys.ranking.predictor import Predictor

        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            pass  # TensorFlow already runs in this worker, for an earlier model
        bundle = ModelBundle.from_files(files)
        _loaded.clear()
        _loaded[key] = Predictor(
            bundle.spec, bundle.settings, bundle.weights, bundle.calibration, batch_size=batch_size
        )
    return _loaded[key]
