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
    """Adagrad on the rows that a batch touches; L2 applies to those rows too.

    Parameters
    ----------
    variables : list of keras.Variable
        Embedding matrices.
    l2 : float
        The loss gains l2 / 2 times the squared norm of every row touched.
    """

    def __init__(self, variables: list[Any], learning_rate: float, l2: float) -> None:
        self._variables = [variable.value for variable in variables]
        self._l2 = l2
        self._learning_rate = tf.Variable(learning_rate, dtype=tf.float32, trainable=False)
        self._slots = [tf.Variable(tf.fill(v.shape, ACCUMULATOR), trainable=False) for v in self._variables]

    def apply(self, gradients: list[Any]) -> None:
        """Update with gradients whose indices are unique."""
        for variable, slot, gradient in zip(self._variables, self._slots, gradients, strict=True):
            values = gradient.values
            if self._l2 > 0:
                values += self._l2 * tf.gather(variable, gradient.indices)
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                var=variable.handle,
                accum=slot.handle,
                lr=self._learning_rate,
                epsilon=tf.constant(EPSILON),
                grad=values,
                indices=gradient.indices,
                update_slots=True,
            )

    def scale(self, factor: float) -> None:
        """Multiply the learning rate."""
        self._learning_rate.assign(self._learning_rate * factor)


class WholeAdam:
    """Adam on whole embedding matrices, for small tables and comparisons: its cost grows with the tables.

    Parameters are those of :class:`RowAdagrad`, but L2 applies to every row.
    """

    def __init__(self, variables: list[Any], learning_rate: float, l2: float) -> None:
        self._variables = variables
        self._l2 = l2
        self._adam = DenseAdam(variables, learning_rate)

    def apply(self, gradients: list[Any]) -> None:
        """Update every row."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self._adam.apply([g + self._l2 * v.value for g, v in zip(dense, self._variables, strict=True)])

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
