"""The row-sparse optimizer against a dense numpy version; L2 against its expectation."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.ctr.networks.network import Network
from recsys.ctr.training.optimizers import ACCUMULATOR, EPSILON, RowAdagrad, WholeAdam, deduplicate
from tests.ctr.toy import Linear

pytestmark = pytest.mark.fast


def _slices(values: list[list[float]], indices: list[int]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(indices), tf.constant([4, 2]))


def test_rows_with_the_same_index_are_summed() -> None:
    out = deduplicate(_slices([[1, 2], [3, 4], [5, 6]], [3, 0, 3]))
    assert dict(zip(out.indices.numpy().tolist(), out.values.numpy().tolist(), strict=True)) == {3: [6, 8], 0: [3, 4]}


def test_adagrad_like_numpy() -> None:
    start = np.arange(8, dtype=np.float32).reshape(4, 2) / 10
    variable = keras.Variable(start)
    optimizer = RowAdagrad([variable], 0.1)
    expected, slots = start.copy(), np.full((4, 2), ACCUMULATOR, np.float32)
    for step in range(3):
        if step == 2:
            optimizer.scale(0.1)
        optimizer.apply([deduplicate(_slices([[1, -2], [0.5, 1], [1, 1]], [1, 3, 1]))])
        for row, gradient in ((1, [2.0, -1.0]), (3, [0.5, 1.0])):
            g = np.array(gradient, np.float32)
            slots[row] += g**2
            expected[row] -= (0.01 if step == 2 else 0.1) * g / (np.sqrt(slots[row]) + EPSILON)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5)
    assert variable.numpy()[[0, 2]].tolist() == start[[0, 2]].tolist()


def test_adam_moves_every_row_that_l2_pulls() -> None:
    variable = keras.Variable(np.ones((4, 2), np.float32))
    optimizer = WholeAdam([variable], 0.1, [np.full((4, 1), 0.5)])
    optimizer.apply([_slices([[1, 1]], [0])])
    optimizer.scale(0.5)
    optimizer.apply([_slices([[1, 1]], [0])])
    assert variable.numpy() == pytest.approx(np.full((4, 2), 0.85), abs=1e-3)


def _network(spec: FittedSpec, l2: float) -> Network:
    network = Network(Linear(), Layout.of(spec), l2=l2)
    network.embeddings[0].assign(np.ones(network.embeddings[0].shape))
    return network


def _shrinkage(network: Network, ids: np.ndarray) -> np.ndarray:
    """The gradient of the mean penalty, one value per row of the table."""
    (table,) = network.embeddings
    with tf.GradientTape() as tape:
        _, penalty = network.penalized(tf.constant(ids, tf.int32), tf.zeros((len(ids), 0)))
        loss = tf.reduce_mean(penalty)
    gradient: np.ndarray = tf.convert_to_tensor(tape.gradient(loss, table.value)).numpy()
    return gradient[:, 0]


def test_l2_does_not_scale_with_the_batch() -> None:
    """A row that a share p of all examples uses shrinks by l2 * p a step, in batches of 256 and of 4096."""
    spec = FittedSpec((FittedInput("x", "x", "categorical", "hash", table="x"),), (EmbeddingTable("x", 2, 5),))
    network, chances = _network(spec, 0.1), np.array([0.001, 0.009, 0.04, 0.25, 0.7])
    random = np.random.default_rng(2)
    for batch, steps in ((256, 800), (4096, 50)):
        drawn = [random.choice(5, (batch, 1), p=chances) for _ in range(steps)]
        mean = np.mean([_shrinkage(network, ids) for ids in drawn], axis=0)
        np.testing.assert_allclose(mean, 0.1 * chances, rtol=0.25)
        np.testing.assert_allclose(mean[2:], 0.1 * chances[2:], rtol=0.03)


def test_l2_by_hand() -> None:
    """An input has an L2 of its own; of a sequence, each value counts by its share; padding and no penalty count 0."""
    spec = FittedSpec(
        (
            FittedInput("x", "x", "categorical", "hash", table="x", l2=3.0),
            FittedInput("s", "s", "sequence", "hash", table="s", length=3),
        ),
        (EmbeddingTable("x", 2, 4), EmbeddingTable("s", 2, 4)),
    )
    network = _network(spec, 1.0)
    ids = np.array([[2, 3, 2, 0], [2, 0, 0, 0]])  # x is 2 in both; the sequence is (3, 2), then empty
    assert _shrinkage(network, ids).tolist() == pytest.approx([0, 0, 3.0, 0, 0, 0, 0.25, 0.25])
    assert Layout.of(spec).groups[0].row_l2(1.0).tolist() == [3.0] * 4 + [1.0] * 4
    without = Network(Linear(), Layout.of(spec))
    assert without.penalized(tf.constant(ids, tf.int32), tf.zeros((2, 0)))[1].numpy().tolist() == [0.0, 0.0]
