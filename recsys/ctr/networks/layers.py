"""The layers that networks share, over a batch whose embeddings have been looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recsys.ctr.inputs.layout import Layout
from recsys.ctr.networks.embeddings import FieldEmbeddings, Inputs
from recsys.ctr.networks.variables import Variables

NO_EMBEDDING_WIDTH = 8
"""Width of the factors of numbers where no input has an embedding."""
DIFFER_IN_TRAINING = (keras.layers.BatchNormalization, keras.layers.Dropout)


class FirstOrder:
    """The linear part: an intercept, a weight per number and a weight per value."""

    def __init__(self, layout: Layout, variables: Variables, bias: float) -> None:
        self._bias = variables.add("bias", np.float32(bias))
        self._linear = variables.add("linear", np.zeros(len(layout.dense), np.float32))

    def __call__(self, inputs: Inputs) -> Any:
        """Return one logit per row."""
        logit = self._bias + tf.linalg.matvec(inputs.dense, self._linear.value)
        for weights in inputs.weights:
            logit += tf.reduce_sum(weights, axis=1)
        return logit


class Factorization:
    """The second-order part of a factorization machine (Rendle, 2010): the products of all pairs of fields.

    Narrower embeddings are projected to the widest; each number has a factor of its own.
    """

    def __init__(self, layout: Layout, variables: Variables) -> None:
        widths = [group.width for group in layout.groups]
        k = max(widths, default=NO_EMBEDDING_WIDTH)
        self._projections = [
            None if width == k else variables.add(f"factor_{width}", variables.glorot(width, k)) for width in widths
        ]
        self._dense = variables.add("factor_dense", variables.normal(len(layout.dense), k))

    def __call__(self, inputs: Inputs) -> Any:
        """Return one logit per row."""
        factors = self._dense.value
        total = tf.matmul(inputs.dense, factors)
        squares = tf.matmul(tf.square(inputs.dense), tf.square(factors))
        for vectors, projection in zip(inputs.vectors, self._projections, strict=True):
            same = vectors if projection is None else tf.einsum("nfw,wk->nfk", vectors, projection.value)
            total += tf.reduce_sum(same, axis=1)
            squares += tf.reduce_sum(tf.square(same), axis=1)
        return 0.5 * tf.reduce_sum(tf.square(total) - squares, axis=1)


class Affine:
    """A matrix and an optional bias.

    Keras's Dense adds its bias by another operation, whose sums differ in their last bits.
    """

    def __init__(self, prefix: str, variables: Variables, inputs: int, width: int, *, bias: bool = True) -> None:
        self._kernel = variables.add(f"{prefix}_kernel", variables.glorot(inputs, width))
        self._bias = variables.add(f"{prefix}_bias", np.zeros(width, np.float32)) if bias else None

    def __call__(self, values: Any) -> Any:
        """Return (n, width)."""
        product = tf.matmul(values, self._kernel.value)
        return product if self._bias is None else product + self._bias.value


class MLP:
    """A multilayer perceptron over embeddings and numbers side by side, down to one logit."""

    def __init__(
        self,
        layout: Layout,
        variables: Variables,
        hidden: Sequence[int],
        *,
        dropout: float,
        batch_norm: bool,
        dropout_seed: int,
    ) -> None:
        self._sizes = [group.width * group.fields for group in layout.groups]
        self._layers: list[Any] = []
        size, dtype = sum(self._sizes) + len(layout.dense), variables.dtype
        for index, width in enumerate(hidden):
            self._layers.append(Affine(f"deep_{index}", variables, size, width))
            if batch_norm:
                norm = keras.layers.BatchNormalization(momentum=0.9, dtype=dtype)
                self._layers.append(variables.add_layer(f"deep_{index}_norm", norm, width))
            self._layers.append(keras.layers.Activation("relu", dtype=dtype))
            if dropout > 0:
                self._layers.append(keras.layers.Dropout(dropout, seed=dropout_seed + index, dtype=dtype))
            size = width
        self._layers.append(Affine("out", variables, size, 1, bias=False))

    def __call__(self, inputs: Inputs, *, training: bool) -> Any:
        """Return one logit per row."""
        parts = [tf.reshape(part, (-1, size)) for part, size in zip(inputs.vectors, self._sizes, strict=True)]
        values = tf.concat([*parts, inputs.dense], axis=1)
        for layer in self._layers:
            values = layer(values, training=training) if isinstance(layer, DIFFER_IN_TRAINING) else layer(values)
        return tf.squeeze(values, axis=1)


class Layers:
    """Creates the layers of one network.

    Parameters
    ----------
    bias : float
        Initial intercept: the log odds of the base rate.
    dropout_seed : int
        Seed of dropout, which may differ by rank; `seed` is that of the weights and must not.
    dtype : str
        Of variables and arithmetic.
    l2 : float, optional
        L2 on embeddings whose input has none of its own; None for no penalty at all.
    """

    def __init__(
        self, layout: Layout, *, seed: int, bias: float, dropout_seed: int, dtype: str, l2: float | None = None
    ) -> None:
        self.variables = Variables(seed, dtype)
        self._layout = layout
        self._bias = bias
        self._dropout_seed = dropout_seed
        self._l2 = l2

    def embeddings(self) -> FieldEmbeddings:
        """Create the embedding tables; a network has them from the start."""
        return FieldEmbeddings(self._layout, self.variables, self._l2)

    def first_order(self) -> FirstOrder:
        """Create the linear part, intercept included."""
        return FirstOrder(self._layout, self.variables, self._bias)

    def factorization(self) -> Factorization:
        """Create the pairwise products of a factorization machine."""
        return Factorization(self._layout, self.variables)

    def mlp(self, hidden: Sequence[int], *, dropout: float, batch_norm: bool) -> MLP:
        """Create a multilayer perceptron."""
        return MLP(
            self._layout,
            self.variables,
            hidden,
            dropout=dropout,
            batch_norm=batch_norm,
            dropout_seed=self._dropout_seed,
        )
