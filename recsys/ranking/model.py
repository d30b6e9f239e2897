"""The networks: Wide & Deep (Cheng et al., 2016) and DeepFM (Guo et al., 2017), in TensorFlow with Keras layers.

Embedding tables of one width are stacked into one variable, so that a batch costs one gather (and one sparse update)
per width. Its last column holds the first-order weight of the value: the wide part.
"""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from recsys.errors import ConfigError
from recsys.ranking.base import TrainSettings
from recsys.ranking.layout import Group, Layout
from recsys.ranking.spec import NULL_ID

INIT_STD = 0.01
ARCHITECTURES = ("wide_deep", "deepfm")
Weights = dict[str, npt.NDArray[Any]]


class CtrNetwork:
    """A network over the matrices of a :class:`Layout`.

    Parameters
    ----------
    bias : float
        First value of the intercept: the log odds of the base rate.
    dropout_seed : int
        Seed of dropout, which may differ by rank; the weights' seed is `settings.seed`.
    dtype : str
        Of variables and arithmetic: `float32` to train, `float64` where a score may not depend on its batch.
    """

    def __init__(
        self,
        layout: Layout,
        settings: TrainSettings,
        *,
        bias: float = 0.0,
        dropout_seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        if settings.model not in ARCHITECTURES:
            raise ConfigError(f"ctr.model is {settings.model!r}; known are {', '.join(ARCHITECTURES)}")
        self.layout = layout
        self._settings = settings
        self._dtype = dtype
        self._random = np.random.default_rng([settings.seed, 1])
        self._named: dict[str, Any] = {}
        self.embeddings = [self._embedding(group) for group in layout.groups]
        self._bias = self._variable("bias", np.float32(bias))
        self._linear = self._variable("linear", np.zeros(len(layout.dense), np.float32))
        self._factors: list[Any] = []
        if settings.model == "deepfm":
            self._build_factors()
        self._layers = self._build_deep(dropout_seed)

    # -- variables

    @property
    def dense_variables(self) -> list[Any]:
        """Trainable Keras variables other than embeddings, in a fixed order."""
        embeddings = {id(variable) for variable in self.embeddings}
        return [v for v in self._named.values() if v.trainable and id(v) not in embeddings]

    @property
    def variables(self) -> list[Any]:
        """All variables that are saved, as `tf.Variable`, in a fixed order."""
        return [variable.value for variable in self._named.values()]

    @property
    def averages(self) -> list[Any]:
        """Variables that batches move without a gradient (batch normalisation); ranks must average them."""
        return [variable.value for variable in self._named.values() if not variable.trainable]

    def weights(self) -> Weights:
        """Return a copy of every variable by name."""
        return {name: np.array(variable.value.numpy()) for name, variable in self._named.items()}

    def load(self, weights: Weights) -> None:
        """Set every variable.

        Raises
        ------
        ConfigError
            If names or shapes are not those of this network.
        """
        if set(weights) != set(self._named):
            raise ConfigError(
                f"weights are for another network; they differ in {sorted(set(weights) ^ set(self._named))}"
            )
        for name, variable in self._named.items():
            if tuple(variable.shape) != weights[name].shape:
                raise ConfigError(
                    f"weight {name} has shape {weights[name].shape}, the network needs {tuple(variable.shape)}"
                )
            variable.assign(weights[name])

    def _variable(self, name: str, value: Any) -> Any:
        self._named[name] = keras.Variable(value, dtype=self._dtype, trainable=True, name=name)
        return self._named[name]

    def _embedding(self, group: Group) -> Any:
        values = self._random.normal(0.0, INIT_STD, (group.rows, group.width + 1)).astype(np.float32)
        values[:, group.width] = 0.0
        return self._variable(f"embedding_{group.width}", values)

    def _build_factors(self) -> None:
        widths = [group.width for group in self.layout.groups]
        k = max(widths, default=8)
        for width in widths:
            if width == k:
                self._factors.append(None)
            else:
                self._factors.append(self._variable(f"factor_{width}", self._glorot(width, k)))
        self._dense_factors = self._variable(
            "factor_dense", self._random.normal(0.0, INIT_STD, (len(self.layout.dense), k))
        )

    def _build_deep(self, dropout_seed: int) -> list[Any]:
        size = sum(g.width * g.fields for g in self.layout.groups) + len(self.layout.dense)
        layers: list[Any] = []
        for index, width in enumerate(self._settings.hidden):
            layers.append(
                (self._variable(f"deep_{index}_kernel", self._glorot(size, width)), self._deep_bias(index, width))
            )
            if self._settings.batch_norm:
                norm = keras.layers.BatchNormalization(momentum=0.9, dtype=self._dtype)
                norm.build((None, width))
                self._named |= {f"deep_{index}_norm_{v.name}": v for v in norm.weights}
                layers.append(norm)
            layers.append(keras.layers.Activation("relu", dtype=self._dtype))
            if self._settings.dropout > 0:
                seed = dropout_seed + index
                layers.append(keras.layers.Dropout(self._settings.dropout, seed=seed, dtype=self._dtype))
            size = width
        self._out = self._variable("out_kernel", self._glorot(size, 1))
        return layers

    def _deep_bias(self, index: int, width: int) -> Any:
        return self._variable(f"deep_{index}_bias", np.zeros(width, np.float32))

    def _glorot(self, fan_in: int, fan_out: int) -> Any:
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        return self._random.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32)

    # -- forward

    def logits(self, ids: Any, dense: Any, *, training: bool) -> Any:
        """Return the logits, shape (n,), of ids (n, layout.ids) and numbers (n, layout.dense)."""
        dense = tf.cast(dense, self._dtype)
        vectors, logit = [], self._bias + tf.linalg.matvec(dense, self._linear.value)
        for group, table in zip(self.layout.groups, self.embeddings, strict=True):
            rows = _fields(group, table.value, ids)
            vectors.append(rows[:, :, : group.width])
            logit += tf.reduce_sum(rows[:, :, group.width], axis=1)
        if self._settings.model == "deepfm":
            logit += self._second_order(vectors, dense)
        parts = [tf.reshape(v, (-1, g.width * g.fields)) for g, v in zip(self.layout.groups, vectors, strict=True)]
        return logit + self._deep(tf.concat([*parts, dense], axis=1), training)

    def _second_order(self, vectors: list[Any], dense: Any) -> Any:
        factors = self._dense_factors.value
        total = tf.matmul(dense, factors)
        squares = tf.matmul(tf.square(dense), tf.square(factors))
        for vector, projection in zip(vectors, self._factors, strict=True):
            same = vector if projection is None else tf.einsum("nfw,wk->nfk", vector, projection.value)
            total += tf.reduce_sum(same, axis=1)
            squares += tf.reduce_sum(tf.square(same), axis=1)
        return 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=1)

    def _deep(self, values: Any, training: bool) -> Any:
        for layer in self._layers:
            if isinstance(layer, tuple):
                values = tf.matmul(values, layer[0].value) + layer[1].value
            elif isinstance(layer, keras.layers.Activation):
                values = layer(values)
            else:
                values = layer(values, training=training)
        return tf.squeeze(tf.matmul(values, self._out.value), axis=1)


def _fields(group: Group, table: Any, ids: Any) -> Any:
    """Return one row per input, (n, fields, width + 1): the looked-up row, or the mean over a sequence's values."""
    mine = ids[:, group.start : group.stop]
    rows = tf.gather(table, mine + tf.constant(group.offsets, dtype=tf.int32))
    parts = [rows[:, : len(group.singles)]] if group.singles else []
    for field in group.sequences:
        present = tf.cast(tf.not_equal(mine[:, field.start : field.stop], NULL_ID), rows.dtype)[:, :, None]
        total = tf.reduce_sum(rows[:, field.start : field.stop] * present, axis=1, keepdims=True)
        parts.append(total / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0))
    return tf.concat(parts, axis=1)


def checksum(weights: Weights) -> str:
    """Return the SHA-256 over names, shapes and bits of all weights."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}{weights[name].shape}{weights[name].dtype}".encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
