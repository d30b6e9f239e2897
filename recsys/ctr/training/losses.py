"""Losses of a batch, per example: cross-entropy, softmax over lists, weighted pairs within lists.

A batch holds whole lists. Rows of weight 0 are padding. Where negatives were sampled, a row stands for 1 / sample_rate
rows: so often it counts among the rows that a positive competes with (an importance weight inside the softmax, as in
Jean et al., 2015, https://arxiv.org/abs/1412.2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Batch:
    """A batch as tensors, all of shape (n,).

    Attributes
    ----------
    label, weight : float32
        0 or 1; weight in the loss, 0 for padding.
    stands : float32
        1 / sample_rate.
    segment : int32
        Number of the list within the batch, 0 to n - 1; rows of a list may lie anywhere.
    """

    label: Any
    weight: Any
    stands: Any
    segment: Any

    def real(self) -> Any:
        """What a row stands for; 0 for padding."""
        return tf.where(self.weight > 0, self.stands, 0.0)

    def per_list(self, values: Any) -> Any:
        """Sum values over lists, and return the sum of its list for each row."""
        size = tf.size(self.segment)
        return tf.gather(tf.math.unsorted_segment_sum(values, self.segment, size), self.segment)


Loss = Callable[[Any, Batch], Any]


def binary(scores: Any, batch: Batch) -> Any:
    """Cross-entropy of each row."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=batch.label, logits=scores)


def softmax(scores: Any, batch: Batch) -> Any:
    """For each positive, the negative log of its share in the softmax over its list; 0 for negatives.

    A list without a positive says nothing, nor does the level of the scores of a list.
    """
    size = tf.size(batch.segment)
    peak = tf.math.unsorted_segment_max(tf.stop_gradient(scores), batch.segment, size)
    lowered = scores - tf.gather(peak, batch.segment)
    total = batch.per_list(batch.real() * tf.exp(lowered))
    return batch.label * (tf.math.log(tf.maximum(total, 1e-30)) - lowered)


def pairwise(scores: Any, batch: Batch) -> Any:
    """For each positive, the sum of log(1 + exp(negative - positive)) * |change of NDCG| over its list's negatives.

    The change is that of NDCG if the two swapped places (LambdaRank: Burges, 2010, MSR-TR-2010-82; without it the loss
    would be that of BPR: Rendle et al., 2009).
    """
    real = batch.real()
    discount = 1.0 / _log2(1.0 + _ranks(tf.stop_gradient(scores), batch.segment, real))
    positives = tf.where(batch.label * real > 0)[:, 0]
    ideal = _ideal(batch, real)
    mine = tf.gather(batch.segment, positives)[:, None]
    among = tf.where(tf.equal(mine, batch.segment[None, :]), ((1.0 - batch.label) * real)[None, :], 0.0)
    change = tf.abs(tf.gather(discount, positives)[:, None] - discount[None, :])
    swap = change / tf.gather(ideal, positives)[:, None]
    margins = tf.gather(scores, positives)[:, None] - scores[None, :]
    losses = tf.reduce_sum(among * swap * tf.nn.softplus(-margins), axis=1)
    return tf.math.unsorted_segment_sum(losses, positives, tf.size(scores))


def _ranks(values: Any, segment: Any, real: Any) -> Any:
    """Return 1 plus what lies above each row within its list, by descending values; ties in order of rows."""
    order = tf.argsort(values, direction="DESCENDING", stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(segment, order), stable=True))
    lists, weights = tf.gather(segment, order), tf.gather(real, order)
    above = tf.cumsum(weights, exclusive=True)
    start = tf.math.unsorted_segment_min(above, lists, tf.size(segment))
    ranked = 1.0 + above - tf.gather(start, lists)
    return tf.math.unsorted_segment_sum(ranked, order, tf.size(segment))


def _ideal(batch: Batch, real: Any) -> Any:
    """Return the largest DCG that the list of each row can have."""
    positive = batch.label * real
    ranks = _ranks(batch.label, batch.segment, real)
    return tf.maximum(batch.per_list(positive / _log2(1.0 + ranks)), 1e-30)


def _log2(values: Any) -> Any:
    return tf.math.log(values) / 0.6931471805599453


def mixed(kind: str, binary_share: float) -> Loss:
    """Return a loss by its name; over lists, with a share of cross-entropy that keeps the level of the scores."""
    if kind == "binary":
        return binary
    over_lists = {"softmax": softmax, "pairwise": pairwise}[kind]
    if binary_share == 0:
        return over_lists

    def both(scores: Any, batch: Batch) -> Any:
        return (1.0 - binary_share) * over_lists(scores, batch) + binary_share * binary(scores, batch)

    return both
