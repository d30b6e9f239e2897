"""The network and optimizers of one rank, with their two compiled functions: a training step and a prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.ctr.base import Floats
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.networks.network import Network
from recsys.ctr.serving.predictor import forward, logits
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.comm import Communicator
from recsys.ctr.training.losses import Batch, mixed
from recsys.ctr.training.optimizers import DenseAdam, RowAdagrad, WholeAdam, deduplicate
from recsys.ctr.training.reader import Rows
from recsys.ctr.training.survey import Facts


class Learner:
    """Holds the weights that a rank trains; they are the same on all ranks after every step."""

    def __init__(self, layout: Layout, settings: TrainCtrSettings, facts: Facts, comm: Communicator) -> None:
        tf.random.set_seed(settings.seed)
        self.network = Network(
            settings.network,
            layout,
            seed=settings.seed,
            bias=math.log(facts.base_rate / (1 - facts.base_rate)),
            dropout_seed=settings.seed * 1009 + comm.rank * 101,
            l2=settings.embedding_l2 if settings.optimizer == "adagrad" else None,
        )
        self._sparse = _embedding_optimizer(self.network, settings)
        self._dense = DenseAdam(self.network.dense_variables, settings.learning_rate)
        self._comm = comm
        self._scale = settings.batch_size * facts.mean_weight
        self._batch_size = settings.batch_size
        comm.broadcast(self.network.variables)
        self._forward = forward(self.network)
        self._loss = mixed(settings.loss, settings.binary_share)
        self._over_lists = settings.loss != "binary"
        self._compiled = tf.function(self._step, input_signature=_batch(layout, settings.batch_size))

    def step(self, rows: Rows) -> Any:
        """Take one step on a batch; return its loss."""
        segment = np.unique(rows.group, return_inverse=True)[1] if self._over_lists else np.zeros(len(rows))
        return self._compiled(rows.ids, rows.dense, rows.label, rows.weight, rows.stands, segment.astype(np.int32))

    def scores(self, rows: Rows) -> Floats:
        """Return the logits of any number of rows."""
        return logits(self._forward, rows.ids, rows.dense, self._batch_size)

    def slow_down(self, factor: float) -> None:
        """Multiply all learning rates."""
        self._sparse.scale(factor)
        self._dense.scale(factor)

    def align(self) -> None:
        """Average over ranks what batches move without a gradient."""
        for variable in self.network.averages if self._comm.size > 1 else []:
            variable.assign(np.mean(self._comm.gather(variable.numpy()), axis=0))

    def _step(self, ids: Any, dense: Any, label: Any, weight: Any, stands: Any, segment: Any) -> Any:
        sparse_variables = [v.value for v in self.network.embeddings]
        dense_variables = [v.value for v in self.network.dense_variables]
        with tf.GradientTape() as tape:
            scores, penalty = self.network.penalized(ids, dense)
            losses = self._loss(scores, Batch(label, weight, stands, segment))
            loss = tf.reduce_sum(weight * losses) / self._scale
            used = tf.reduce_sum(tf.where(weight > 0, penalty, 0.0)) / self._batch_size
            total = loss + used
        gradients = tape.gradient(total, [*sparse_variables, *dense_variables])
        sparse = [deduplicate(g) for g in gradients[: len(sparse_variables)]]
        averaged = self._comm.average([*sparse, *gradients[len(sparse_variables) :]])
        sparse = averaged[: len(sparse_variables)]
        self._sparse.apply([deduplicate(g) for g in sparse] if self._comm.size > 1 else sparse)
        self._dense.apply(averaged[len(sparse_variables) :])
        return loss


def _embedding_optimizer(network: Network, settings: TrainCtrSettings) -> RowAdagrad | WholeAdam:
    if settings.optimizer == "adagrad":
        return RowAdagrad(network.embeddings, settings.embedding_learning_rate)
    l2 = [group.row_l2(settings.embedding_l2)[:, None] for group in network.layout.groups]
    return WholeAdam(network.embeddings, settings.embedding_learning_rate, l2)


def _batch(layout: Layout, size: int) -> list[Any]:
    """Return the signature of a batch: ids, numbers, labels, weights, what rows stand for, lists."""
    return [
        tf.TensorSpec((size, layout.ids), tf.int32),
        tf.TensorSpec((size, len(layout.dense)), tf.float32),
        tf.TensorSpec((size,), tf.float32),
        tf.TensorSpec((size,), tf.float32),
        tf.TensorSpec((size,), tf.float32),
        tf.TensorSpec((size,), tf.int32),
    ]
