"""Losses over lists against loops in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from recsys.ctr.training.losses import Batch, mixed, pairwise, softmax

pytestmark = pytest.mark.fast


def _drawn(seed: int, n: int = 24) -> tuple[np.ndarray, Batch]:
    random = np.random.default_rng(seed)
    label = (random.random(n) < 0.35).astype(np.float32)
    stands = np.where(label == 1, 1.0, random.choice([1.0, 5.0], n)).astype(np.float32)
    weight = stands.copy()
    weight[-3:] = 0.0  # padding
    segment = random.integers(0, 5, n).astype(np.int32)
    return random.normal(0, 2, n).astype(np.float32), Batch(*(tf.constant(a) for a in (label, weight, stands, segment)))


def _arrays(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    real = np.where(batch.weight.numpy() > 0, batch.stands.numpy(), 0.0)
    return batch.label.numpy(), real, batch.segment.numpy()


@pytest.mark.parametrize("seed", range(5))
def test_softmax_like_a_loop(seed: int) -> None:
    scores, batch = _drawn(seed)
    label, real, segment = _arrays(batch)
    expected = [
        label[i] * -np.log(np.exp(scores[i]) / (real * np.exp(scores))[segment == segment[i]].sum())
        for i in np.flatnonzero(real)
    ]
    found = softmax(tf.constant(scores), batch).numpy()[real > 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_like_a_loop(seed: int) -> None:
    scores, batch = _drawn(seed)
    label, real, segment = _arrays(batch)
    expected = np.zeros(len(scores))
    for i in np.flatnonzero(label * real):
        mates = np.flatnonzero((segment == segment[i]) & (real > 0))
        rank = {j: 1 + real[mates][scores[mates] > scores[j]].sum() for j in mates}
        positives = int(label[mates].sum())
        ideal = sum(1 / np.log2(1 + place) for place in range(1, positives + 1))
        for j in mates[label[mates] == 0]:
            change = abs(1 / np.log2(1 + rank[i]) - 1 / np.log2(1 + rank[j])) / ideal
            expected[i] += real[j] * change * np.log1p(np.exp(scores[j] - scores[i]))
    np.testing.assert_allclose(pairwise(tf.constant(scores), batch).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "pairwise"])
def test_a_list_does_not_depend_on_its_level_or_on_other_lists(kind: str) -> None:
    scores, batch = _drawn(3)
    label, real, segment = _arrays(batch)
    moved = np.where(segment == 2, scores + 5, scores).astype(np.float32)
    loss = mixed(kind, 0.0)
    np.testing.assert_allclose(
        loss(tf.constant(moved), batch).numpy()[real > 0], loss(tf.constant(scores), batch).numpy()[real > 0], rtol=1e-4
    )


def test_a_share_of_cross_entropy() -> None:
    scores, batch = _drawn(1)
    parts = [mixed(kind, 0.0)(tf.constant(scores), batch).numpy() for kind in ("softmax", "binary")]
    both = mixed("softmax", 0.25)(tf.constant(scores), batch).numpy()
    np.testing.assert_allclose(both, 0.75 * parts[0] + 0.25 * parts[1], rtol=1e-5)


def test_sampled_negatives_stand_for_the_others() -> None:
    """Four equal negatives, or one of them that stands for four: the same loss."""

    def loss(label: list[float], stands: list[float], scores: list[float]) -> float:
        size = len(label)
        columns = [tf.constant(label), tf.constant(stands), tf.constant(stands), tf.zeros(size, tf.int32)]
        return float(softmax(tf.constant(scores), Batch(*columns))[0])

    whole = loss([1.0, 0, 0, 0, 0], [1.0] * 5, [0.3] + [1.1] * 4)
    assert loss([1.0, 0.0], [1.0, 4.0], [0.3, 1.1]) == pytest.approx(whole, rel=1e-6)
