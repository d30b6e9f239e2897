"""The training function: plain values in, weights and figures out. The same under every launcher.

All ranks take the same number of steps, see the same validation scores and so decide alike; a rank that fails before
the first step tells the others, one that fails later takes the job down (see `recsys.ranking.launcher`).
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.errors import DataError, NothingToDo, RecsysError
from recsys.progress import note
from recsys.ranking import metrics
from recsys.ranking.base import TrainOutcome, TrainTask
from recsys.ranking.calibration import Calibration, fit_calibration
from recsys.ranking.comm import Communicator
from recsys.ranking.data import Epochs, Reader, Rows
from recsys.ranking.holdout import Floats, Holdout, Scored, report
from recsys.ranking.layout import Layout
from recsys.ranking.model import CtrNetwork, Weights, checksum
from recsys.ranking.optimizer import DenseAdam, RowAdagrad, WholeAdam, deduplicate
from recsys.ranking.predictor import forward, logits
from recsys.ranking.spec import FittedSpec
from recsys.ranking.survey import Facts, survey
from recsys.ranking.tensorboard import Board

PLATEAU_FACTOR = 0.1
MIN_GAIN = 1e-5


def train(task: TrainTask, comm: Communicator) -> TrainOutcome:
    """Train one rank.

    Parameters
    ----------
    task : TrainTask
        The same on every rank.
    comm : Communicator
        Tells rank and size, and carries what ranks say to each other.

    Returns
    -------
    TrainOutcome
        Weights of the epoch with the best validation logloss (rank 0 only), calibration, figures.

    Raises
    ------
    NothingToDo
        If there is too little to learn from.
    DataError
        If the loss is no longer a number.
    """
    settings = task.settings
    configure(settings.threads or max(1, (os.cpu_count() or 1) // comm.local_size))
    spec = FittedSpec.from_json(task.spec)
    layout = Layout.of(spec)
    facts, mine = survey(task, comm, Reader(spec, layout, task.label, task.sample_rate, weigh=False))
    reader = Reader(spec, layout, task.label, task.sample_rate, facts.weigh)
    cache = settings.cache_mb * 2**20
    epochs = Epochs(
        reader,
        mine,
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=comm.rank,
        cache_bytes=cache,
        window=settings.shuffle_row_groups,
    )
    valid = Holdout(reader, task.valid, comm, cache_bytes=cache // 2)
    learner = Learner(layout, task, facts, comm)
    history = _fit(learner, epochs, valid, task, facts, comm)
    final, figures, calibration = _evaluate(learner, valid, reader, task, facts, comm)
    figures |= {
        "train_rows": float(facts.rows),
        "train_base_rate": facts.population_rate,
        "epochs": float(len(history)),
        "best_epoch": float(1 + int(np.argmin([h["valid_logloss"] for h in history]))),
        "parameters": float(sum(value.size for value in final.values())),
        "ranks": float(comm.size),
    }
    total = _agreed(final, comm)
    keep = final if comm.rank == 0 else {}
    return TrainOutcome(comm.rank, comm.size, total, keep, calibration.as_dict(), figures, tuple(history))


def configure(threads: int) -> None:
    """Bound TensorFlow's threads (before it first computes) and make its kernels deterministic."""
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        note("TensorFlow is already running in this process: its number of threads stays as it was")


class Learner:
    """Network and optimisers of one rank, with the two compiled functions: a step and a prediction."""

    def __init__(self, layout: Layout, task: TrainTask, facts: Facts, comm: Communicator) -> None:
        settings = task.settings
        tf.random.set_seed(settings.seed)
        bias = math.log(facts.base_rate / (1 - facts.base_rate))
        seed = settings.seed * 1009 + comm.rank * 101
        self.network = CtrNetwork(layout, settings, bias=bias, dropout_seed=seed)
        sparse = RowAdagrad if settings.optimizer == "adagrad" else WholeAdam
        self._sparse = sparse(self.network.embeddings, settings.embedding_learning_rate, settings.embedding_l2)
        self._dense = DenseAdam(self.network.dense_variables, settings.learning_rate)
        self._comm = comm
        self._scale = settings.batch_size * facts.mean_weight
        self._batch_size = settings.batch_size
        comm.broadcast(self.network.variables)
        self._forward = forward(self.network)
        self.step = tf.function(
            self._step,
            input_signature=[
                tf.TensorSpec((settings.batch_size, layout.ids), tf.int32),
                tf.TensorSpec((settings.batch_size, len(layout.dense)), tf.float32),
                tf.TensorSpec((settings.batch_size,), tf.float32),
                tf.TensorSpec((settings.batch_size,), tf.float32),
            ],
        )

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

    def _step(self, ids: Any, dense: Any, label: Any, weight: Any) -> Any:
        sparse_variables = [v.value for v in self.network.embeddings]
        dense_variables = [v.value for v in self.network.dense_variables]
        with tf.GradientTape() as tape:
            scores = self.network.logits(ids, dense, training=True)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=scores)
            loss = tf.reduce_sum(weight * losses) / self._scale
        gradients = tape.gradient(loss, [*sparse_variables, *dense_variables])
        sparse = [deduplicate(g) for g in gradients[: len(sparse_variables)]]
        averaged = self._comm.average([*sparse, *gradients[len(sparse_variables) :]])
        sparse = averaged[: len(sparse_variables)]
        self._sparse.apply([deduplicate(g) for g in sparse] if self._comm.size > 1 else sparse)
        self._dense.apply(averaged[len(sparse_variables) :])
        return loss


def _fit(
    learner: Learner, epochs: Epochs, valid: Holdout, task: TrainTask, facts: Facts, comm: Communicator
) -> list[dict[str, float]]:
    settings = task.settings
    board = Board(task.log_dir if comm.rank == 0 else None)
    plateau = Plateau(settings.patience)
    best: Weights = {}
    history: list[dict[str, float]] = []
    for epoch in range(settings.epochs):
        losses = [learner.step(b.ids, b.dense, b.label, b.weight) for b in epochs.batches(epoch, facts.steps)]
        learner.align()
        figures = _validate(valid.score(learner.scores), facts.shift) | {"train_loss": float(np.mean(losses))}
        history.append(figures)
        board.write(epoch + 1, figures)
        if comm.rank == 0:
            shown = " ".join(f"{name} {value:.5f}" for name, value in figures.items())
            note(f"epoch {epoch + 1}/{settings.epochs}: {shown}")
        verdict = plateau.judge(figures["valid_logloss"])
        if verdict == "best":
            best = learner.network.weights()
        elif verdict == "slower":
            learner.network.load(best)
            learner.slow_down(PLATEAU_FACTOR)
        elif verdict == "stop":
            break
    board.close()
    learner.network.load(best)
    return history


def _validate(scored: Scored, shift: float) -> dict[str, float]:
    if not scored.both_classes:
        raise NothingToDo(
            f"the validation split has {len(scored.labels)} examples with {int(scored.labels.sum())} positives; "
            "it needs both classes, raise examples.valid_share or widen the label window"
        )
    loss = metrics.logloss(scored.labels, metrics.sigmoid(scored.logits + shift), scored.weights)
    if not math.isfinite(loss):
        raise DataError("the loss is no longer a number; lower ctr.learning_rate and ctr.embedding_learning_rate")
    return {"valid_auc": metrics.auc(scored.labels, scored.logits, scored.weights), "valid_logloss": loss}


class Plateau:
    """Decides after each epoch: best so far, wait, slower (once), stop."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = math.inf
        self._bad = 0
        self._slowed = False

    def judge(self, loss: float) -> str:
        """Return `best`, `wait`, `slower` or `stop`."""
        if loss < self._best - MIN_GAIN:
            self._best, self._bad = loss, 0
            return "best"
        self._bad += 1
        if self._bad < self._patience:
            return "wait"
        if self._slowed:
            return "stop"
        self._slowed, self._bad = True, 0
        return "slower"


def _evaluate(
    learner: Learner, valid: Holdout, reader: Reader, task: TrainTask, facts: Facts, comm: Communicator
) -> tuple[Weights, dict[str, float], Calibration]:
    scored = valid.score(learner.scores)
    calibration = fit_calibration(
        task.settings.calibration, scored.logits, scored.labels, scored.weights, shift=facts.shift
    )
    figures = {f"valid_{k}": v for k, v in (report(scored, calibration) | valid.baselines(task.baselines)).items()}
    test = Holdout(reader, task.test, comm, cache_bytes=0)
    scored = test.score(learner.scores)
    if scored.both_classes:
        figures |= {f"test_{k}": v for k, v in (report(scored, calibration) | test.baselines(task.baselines)).items()}
    elif comm.rank == 0:
        note(f"the test split has {len(scored.labels)} examples and not both classes: no test figures")
    return learner.network.weights(), figures, calibration


def _agreed(weights: Weights, comm: Communicator) -> str:
    total = checksum(weights)
    others = {bytes(part).decode() for part in comm.gather(np.frombuffer(total.encode(), dtype=np.uint8))}
    if len(others) > 1:
        raise RecsysError("ranks ended with different weights; this is a defect of the training loop, not of your data")
    return total
