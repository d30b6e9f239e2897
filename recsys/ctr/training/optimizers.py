"""Optimizers whose cost follows what a batch touches: row-sparse Adagrad for embeddings, Adam for the dense part.

Adagrad follows Duchi et al. (2011), element by element. Its accumulator starts near zero, so that the first update of a
rare row is a full step; with the usual, larger start rare rows hardly move.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

ACCUMULATOR = 1e-8
EPSILON = 1e-7


def deduplicate(gradient: Any) -> Any:
    """Sum the rows of an IndexedSlices that have the same index; each index then occurs once."""
    indices, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(indices))
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


class RowAdagrad:
    """Adagrad on the rows that a batch touches. L2 is part of the loss: see `Inputs.penalty` of the layers.

    Parameters
    ----------
    variables : list of keras.Variable
        Embedding matrices.
    """

    def __init__(self, variables: list[Any], learning_rate: float) -> None:
        self._variables = [variable.value for variable in variables]
        self._learning_rate = tf.Variable(learning_rate, dtype=tf.float32, trainable=False)
        self._slots = [tf.Variable(tf.fill(v.shape, ACCUMULATOR), trainable=False) for v in self._variables]

    def apply(self, gradients: list[Any]) -> None:
        """Update with gradients whose indices are unique."""
        for variable, slot, gradient in zip(self._variables, self._slots, gradients, strict=True):
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                var=variable.handle,
                accum=slot.handle,
                lr=self._learning_rate,
                epsilon=tf.constant(EPSILON),
                grad=gradient.values,
                indices=gradient.indices,
                update_slots=True,
            )

    def scale(self, factor: float) -> None:
        """Multiply the learning rate."""
        self._learning_rate.assign(self._learning_rate * factor)


class WholeAdam:
    """Adam on whole embedding matrices, for small tables and comparisons: its cost grows with the tables.

    Parameters
    ----------
    variables : list of keras.Variable
        Embedding matrices.
    l2 : list of arrays of shape (rows, 1)
        The loss gains l2 / 2 times the square of every value of every row, whether a batch touches it or not: a prior
        of the same width for all rows, so that a rare row stays closer to 0 than a frequent one.
    """

    def __init__(self, variables: list[Any], learning_rate: float, l2: list[Any]) -> None:
        self._variables = variables
        self._l2 = [tf.constant(values, tf.float32) for values in l2]
        self._adam = DenseAdam(variables, learning_rate)

    def apply(self, gradients: list[Any]) -> None:
        """Update every row."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        rows = zip(dense, self._variables, self._l2, strict=True)
        self._adam.apply([gradient + l2 * variable.value for gradient, variable, l2 in rows])

    def scale(self, factor: float) -> None:
        """Multiply the learning rate."""
        self._adam.scale(factor)


class DenseAdam:
    """Keras's Adam on Keras variables, with gradients that are already averaged."""

    def __init__(self, variables: list[Any], learning_rate: float) -> None:
        self._variables = variables
        self._adam = keras.optimizers.Adam(learning_rate)
        self._adam.build(variables)

    def apply(self, gradients: list[Any]) -> None:
        """Update every variable."""
        self._adam.apply(gradients, self._variables)

    def scale(self, factor: float) -> None:
        """Multiply the learning rate."""
        self._adam.learning_rate.assign(self._adam.learning_rate * factor)
