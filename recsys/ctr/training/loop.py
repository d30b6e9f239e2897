"""The training function: plain values in, weights and metrics out. The same under every launcher.

All ranks take the same number of steps and see the same validation scores, so they all decide alike. A rank that fails
before the first step tells the others; one that fails later ends the job (see `recsys.ctr.training.launcher`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from recsys.ctr import metrics
from recsys.ctr.base import TrainOutcome, TrainTask, badness
from recsys.ctr.calibration import Calibration, fit_calibration
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.networks.network import Weights, checksum
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.batches import Epochs
from recsys.ctr.training.comm import Communicator
from recsys.ctr.training.holdout import Holdout, Scored, curve, report
from recsys.ctr.training.learner import Learner
from recsys.ctr.training.reader import Reader
from recsys.ctr.training.survey import Facts, survey
from recsys.ctr.training.tensorboard import Board
from recsys.errors import ConfigError, DataError, NothingToDo, RecsysError
from recsys.progress import note

PLATEAU_FACTOR = 0.1
MIN_GAIN = 1e-5


def train(task: TrainTask, comm: Communicator) -> TrainOutcome:
    """Train one rank.

    Parameters
    ----------
    task : TrainTask
        The same on every rank.
    comm : Communicator
        Knows rank and size, and exchanges values with the other ranks.

    Returns
    -------
    TrainOutcome
        Weights of the epoch with the best `settings.stop_on` on validation (rank 0 only), calibration, metrics. With
        `settings.refit` the weights are of a second training on all rows; all else is of the first.

    Raises
    ------
    NothingToDo
        If there is too little to learn from.
    DataError
        If the loss is no longer a number.
    """
    settings = task.settings
    configure(settings.threads or max(1, (os.cpu_count() or 1) // comm.local_size))
    learner, epochs, facts = _begin(task, comm)
    reader = epochs.reader
    valid = Holdout(reader, task.valid, comm, cache_bytes=settings.cache_mb * 2**20 // 2)
    history, rates = _fit(learner, epochs, valid, task, facts, comm)
    final, figures, calibration = _evaluate(learner, valid, reader, task, facts, comm)
    figures |= _described(task, facts, history, final, comm)
    if settings.refit:
        del learner, epochs, valid  # and what they keep in memory
        final, figures["refit_rows"] = _refit(task, rates, comm)
    total = _agreed(final, comm)
    keep = final if comm.rank == 0 else {}
    return TrainOutcome(comm.rank, comm.size, total, keep, calibration.as_dict(), figures, tuple(history))


def _begin(task: TrainTask, comm: Communicator) -> tuple[Learner, Epochs, Facts]:
    """Count the training split and make what learns from it."""
    settings = task.settings
    spec = FittedSpec.from_json(task.spec)
    layout = Layout.of(spec)
    facts, mine = survey(task, comm, Reader(spec, layout, task.columns, weigh=False))
    epochs = Epochs(
        Reader(spec, layout, task.columns, facts.weigh),
        mine,
        batch_size=settings.batch_size,
        seed=settings.seed,
        rank=comm.rank,
        cache_bytes=settings.cache_mb * 2**20,
        window=settings.shuffle_row_groups,
        whole_lists=settings.loss != "binary",
    )
    return Learner(layout, settings, facts, comm), epochs, facts


def _refit(task: TrainTask, rates: Sequence[float], comm: Communicator) -> tuple[Weights, float]:
    """Train on every row, for as many epochs, at the same rates, as were best; return the number of rows too."""
    whole = replace(task, train=task.train + task.calibration + task.valid + task.test)
    learner, epochs, facts = _begin(whole, comm)
    rate = 1.0
    for epoch, wanted in enumerate(rates):
        if wanted != rate:
            learner.slow_down(wanted / rate)
            rate = wanted
        for batch in epochs.batches(epoch, facts.steps):
            learner.step(batch)
        learner.align()
    if comm.rank == 0:
        note(f"trained once more on all {facts.rows:,} examples, for {len(rates)} epochs")
    return learner.network.weights(), float(facts.rows)


def configure(threads: int) -> None:
    """Limit TensorFlow's threads (before it first computes) and make its kernels deterministic."""
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        note("TensorFlow is already running in this process; its number of threads cannot be changed")


def _fit(
    learner: Learner, epochs: Epochs, valid: Holdout, task: TrainTask, facts: Facts, comm: Communicator
) -> tuple[list[dict[str, float]], list[float]]:
    """Train until validation gets no better: the figures of each epoch, and the rates of those that led to the best."""
    settings = task.settings
    board = Board(task.log_dir if comm.rank == 0 else None)
    plateau = Plateau(settings.patience)
    best: Weights = {}
    history: list[dict[str, float]] = []
    rate, rates, best_rates = 1.0, list[float](), list[float]()
    for epoch in range(settings.epochs):
        losses = [learner.step(batch) for batch in epochs.batches(epoch, facts.steps)]
        learner.align()
        figures = _validate(valid.score(learner.scores), facts.shift, settings) | {"train_loss": float(np.mean(losses))}
        history.append(figures)
        rates.append(rate)
        board.write(epoch + 1, figures)
        if comm.rank == 0:
            shown = " ".join(f"{name} {value:.5f}" for name, value in figures.items())
            note(f"epoch {epoch + 1}/{settings.epochs}: {shown}")
        verdict = plateau.judge(badness(figures, settings))
        if verdict == "best":
            best, best_rates = learner.network.weights(), list(rates)
        elif verdict == "slower":
            learner.network.load(best)
            learner.slow_down(PLATEAU_FACTOR)
            rate, rates = rate * PLATEAU_FACTOR, list(best_rates)
        elif verdict == "stop":
            break
    board.close()
    learner.network.load(best)
    return history, best_rates


def _validate(scored: Scored, shift: float, settings: TrainCtrSettings) -> dict[str, float]:
    if not scored.both_classes:
        raise NothingToDo(
            f"the validation split has {len(scored.labels)} examples with {int(scored.labels.sum())} positives; "
            "it needs both classes, raise ctr_examples.holdout_share or ctr_examples.instants"
        )
    loss = metrics.logloss(scored.labels, metrics.sigmoid(scored.logits + shift), scored.weights)
    if not math.isfinite(loss):
        raise DataError(
            "the loss is no longer a number; lower train_ctr.learning_rate and train_ctr.embedding_learning_rate"
        )
    figures = {"auc": metrics.auc(scored.labels, scored.logits, scored.weights), "logloss": loss}
    figures |= scored.within_lists()
    if settings.stop_on not in figures:
        raise ConfigError(
            f"train_ctr.stop_on {settings.stop_on} is a metric within lists, but no list of the validation split has "
            "both classes; use logloss or auc"
        )
    return {f"valid_{name}": value for name, value in figures.items()}


class Plateau:
    """Decides after each epoch: best so far, wait, slower (once), stop."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._best = math.inf
        self._bad = 0
        self._slowed = False

    def judge(self, loss: float) -> str:
        """Return `best`, `wait`, `slower` or `stop`; less is better."""
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
    held = Holdout(reader, task.calibration, comm, cache_bytes=0).score(learner.scores)
    if task.calibration and not held.both_classes and comm.rank == 0:
        note("the calibration split is not of both classes; calibration is fitted on the validation split")
    fitted_on = held if held.both_classes else scored
    calibration = fit_calibration(
        task.settings.calibration, fitted_on.logits, fitted_on.labels, fitted_on.weights, shift=facts.shift
    )
    if calibration.kind == "constant" and comm.rank == 0:
        note("the model is worse than the base rate on the rows that calibrate it; it predicts the base rate")
    figures = {f"valid_{k}": v for k, v in (report(scored, calibration) | valid.baselines(task.baselines)).items()}
    if held.both_classes:
        figures |= {f"calibration_{k}": v for k, v in report(held, calibration).items()}
    test = Holdout(reader, task.test, comm, cache_bytes=0)
    scored = test.score(learner.scores)
    if scored.both_classes:
        figures |= {f"test_{k}": v for k, v in (report(scored, calibration) | test.baselines(task.baselines)).items()}
        figures |= {f"test_{k}": v for k, v in curve(scored, calibration).items()}
    elif comm.rank == 0 and task.test:
        note(f"no test metrics: the {len(scored.labels)} examples of the test split are not of both classes")
    return learner.network.weights(), figures, calibration


def _described(
    task: TrainTask, facts: Facts, history: list[dict[str, float]], final: Weights, comm: Communicator
) -> dict[str, float]:
    """Return metrics of the training itself."""
    return {
        "train_rows": float(facts.rows),
        "train_base_rate": facts.population_rate,
        "epochs": float(len(history)),
        "best_epoch": float(1 + int(np.argmin([badness(epoch, task.settings) for epoch in history]))),
        "parameters": float(sum(value.size for value in final.values())),
        "ranks": float(comm.size),
    }


def _agreed(weights: Weights, comm: Communicator) -> str:
    total = checksum(weights)
    others = {bytes(part).decode() for part in comm.gather(np.frombuffer(total.encode(), dtype=np.uint8))}
    if len(others) > 1:
        raise RecsysError("ranks ended with different weights; this is a defect of the training loop, not of your data")
    return total
