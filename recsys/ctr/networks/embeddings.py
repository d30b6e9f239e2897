"""Embeddings of the ids of a batch, over the matrix of a :class:`~recsys.ctr.inputs.layout.Layout`.

Embedding tables of one width are stacked into one variable, so that a batch costs one gather (and one sparse update)
per width. Its last column holds the first-order weight of the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.ctr.inputs.layout import Group, Layout
from recsys.ctr.inputs.spec import NULL_ID
from recsys.ctr.networks.variables import Variables


@dataclass(frozen=True)
class Inputs:
    """A batch whose embeddings have been looked up.

    Attributes
    ----------
    vectors : list of tensors of shape (n, fields, width)
        Embeddings, one tensor per group of the layout; a sequence is the mean over its values.
    weights : list of tensors of shape (n, fields)
        First-order weights of the same values.
    dense : tensor of shape (n, numbers)
        The plain numbers.
    penalty : tensor of shape (n,)
        L2 of the rows that an example uses: the sum of l2 / 2 times their squares. Each value of a sequence counts by
        its share, as in the mean. Its mean over examples neither grows with the batch nor falls with the rarity of a
        value. 0 where none was asked for.
    """

    vectors: list[Any]
    weights: list[Any]
    dense: Any
    penalty: Any


class FieldEmbeddings:
    """Looks up every field's row, and averages the rows of sequences."""

    def __init__(self, layout: Layout, variables: Variables, l2: float | None) -> None:
        self._layout = layout
        self._dtype = variables.dtype
        self._l2 = [np.zeros(0) if l2 is None else group.column_l2(l2) for group in layout.groups]
        self.tables = [self._table(group, variables) for group in layout.groups]

    @staticmethod
    def _table(group: Group, variables: Variables) -> Any:
        values = variables.normal(group.rows, group.width + 1)
        values[:, group.width] = 0.0
        return variables.add(f"embedding_{group.width}", values)

    def __call__(self, ids: Any, dense: Any) -> Inputs:
        """Look up ids (n, layout.ids); dense (n, layout.dense) is passed on."""
        groups = self._layout.groups
        rows, penalty = [], tf.zeros(tf.shape(ids)[:1], self._dtype)
        for group, table, l2 in zip(groups, self.tables, self._l2, strict=True):
            values, shares = self._lookup(group, table.value, ids)
            rows.append(self._mean(group, values, shares))
            if l2.any():
                penalty += tf.reduce_sum(tf.square(values) * (0.5 * l2 * shares)[:, :, None], axis=[1, 2])
        return Inputs(
            vectors=[part[:, :, : group.width] for group, part in zip(groups, rows, strict=True)],
            weights=[part[:, :, group.width] for group, part in zip(groups, rows, strict=True)],
            dense=tf.cast(dense, self._dtype),
            penalty=penalty,
        )

    @staticmethod
    def _lookup(group: Group, table: Any, ids: Any) -> tuple[Any, Any]:
        """Return a row per id, (n, ids, width + 1), and its share in the mean of its input, (n, ids)."""
        mine = ids[:, group.start : group.stop]
        rows = tf.gather(table, mine + tf.constant(group.offsets, dtype=tf.int32))
        singles = [tf.ones_like(mine[:, : len(group.singles)], rows.dtype)] if group.singles else []
        shares = []
        for field in group.sequences:
            present = tf.cast(tf.not_equal(mine[:, field.start : field.stop], NULL_ID), rows.dtype)
            shares.append(present / tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0))
        return rows, tf.concat([*singles, *shares], axis=1)

    @staticmethod
    def _mean(group: Group, rows: Any, shares: Any) -> Any:
        """Return one row per field, (n, fields, width + 1)."""
        parts = [rows[:, : len(group.singles)]] if group.singles else []
        for field in group.sequences:
            part = slice(field.start, field.stop)
            parts.append(tf.reduce_sum(rows[:, part] * shares[:, part, None], axis=1, keepdims=True))
        return tf.concat(parts, axis=1)
