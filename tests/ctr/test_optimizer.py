"""The row-sparse optimizer against a dense numpy version."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.ctr.training.optimizers import ACCUMULATOR, EPSILON, RowAdagrad, WholeAdam, deduplicate

pytestmark = pytest.mark.fast


def _slices(values: list[list[float]], indices: list[int]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(indices), tf.constant([4, 2]))


def test_rows_with_the_same_index_are_summed() -> None:
    out = deduplicate(_slices([[1, 2], [3, 4], [5, 6]], [3, 0, 3]))
    assert dict(zip(out.indices.numpy().tolist(), out.values.numpy().tolist(), strict=True)) == {3: [6, 8], 0: [3, 4]}


def test_adagrad_with_l2_like_numpy() -> None:
    start = np.arange(8, dtype=np.float32).reshape(4, 2) / 10
    variable = keras.Variable(start)
    optimizer = RowAdagrad([variable], 0.1, l2=0.5)
    expected, slots = start.copy(), np.full((4, 2), ACCUMULATOR, np.float32)
    for step in range(3):
        if step == 2:
            optimizer.scale(0.1)
        optimizer.apply([deduplicate(_slices([[1, -2], [0.5, 1], [1, 1]], [1, 3, 1]))])
        for row, gradient in ((1, [2.0, -1.0]), (3, [0.5, 1.0])):
            g = np.array(gradient, np.float32) + 0.5 * expected[row]
            slots[row] += g**2
            expected[row] -= (0.01 if step == 2 else 0.1) * g / (np.sqrt(slots[row]) + EPSILON)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)
    assert variable.numpy()[[0, 2]].tolist() == start[[0, 2]].tolist()


def test_adam_moves_every_row_that_l2_pulls() -> None:
    variable = keras.Variable(np.ones((4, 2), np.float32))
    optimizer = WholeAdam([variable], 0.1, l2=0.5)
    optimizer.apply([_slices([[1, 1]], [0])])
    optimizer.scale(0.5)
    optimizer.apply([_slices([[1, 1]], [0])])
    assert variable.numpy() == pytest.approx(np.full((4, 2), 0.85), abs=1e-3)
