"""What the ranks must agree on before the first step: counts, rates, the correction for sampling, the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.ctr.base import Shard, TrainTask
from recsys.ctr.calibration import sampling_shift
from recsys.ctr.training.batches import Reader, outcome
from recsys.ctr.training.comm import Communicator
from recsys.ctr.training.shards import assign, steps_per_epoch
from recsys.errors import ConfigError, DataError, NothingToDo, RecsysError

SAME_RATE = 1e-6
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """Facts about the training split, the same on every rank.

    Attributes
    ----------
    weigh : bool
        Examples weigh 1 / sample_rate in the loss; otherwise `shift` is added to the logit afterwards.
    mean_weight : float
        Mean weight of a training example; the loss is divided by it.
    base_rate : float
        Share of positives as the loss sees them.
    """

    rows: int
    positives: int
    weigh: bool
    shift: float
    mean_weight: float
    base_rate: float
    population_rate: float
    steps: int


def survey(task: TrainTask, comm: Communicator, reader: Reader) -> tuple[Facts, tuple[Shard, ...]]:
    """Count the training split and return the facts and this rank's shards.

    Raises
    ------
    DataError, ConfigError
        On every rank, so that none waits for one that has failed.
    NothingToDo
        If there are too few examples, or all are of one class.
    """
    problem, lots, counts = "", [], np.zeros(8)
    try:
        lots = assign(task.train, comm.size)
        counts = _count(task, reader, lots[comm.rank])
    except RecsysError as error:
        problem = ("config:" if isinstance(error, ConfigError) else "data:") + str(error)
    problems = [bytes(p).decode() for p in comm.gather(np.frombuffer(problem.encode(), dtype=np.uint8))]
    if any(problems):
        kind, _, message = next(p for p in problems if p).partition(":")
        raise (ConfigError if kind == "config" else DataError)(message)
    of_all_ranks = np.stack(comm.gather(counts))
    return _facts(task, of_all_ranks, steps_per_epoch(lots, task.settings.batch_size)), lots[comm.rank]


def _count(task: TrainTask, reader: Reader, shards: tuple[Shard, ...]) -> Counts:
    columns = [task.label] + ([task.sample_rate] if task.sample_rate else [])
    sums = np.zeros(4)
    lows, highs = np.full(2, np.inf), np.full(2, -np.inf)
    for group in reader.row_groups(shards):
        label, rate = outcome(reader.table(group, columns), task.label, task.sample_rate)
        sums += [len(label), label.sum(), (1 / rate).sum(), (label / rate).sum()]
        for klass in (0, 1):
            rates = rate[label == klass]
            if len(rates):
                lows[klass], highs[klass] = min(lows[klass], rates.min()), max(highs[klass], rates.max())
    return np.concatenate([sums, lows, highs])


def _facts(task: TrainTask, counts: Counts, steps: int) -> Facts:
    rows, positives, weight, positive_weight = counts[:, :4].sum(axis=0)
    if rows < task.settings.min_examples:
        raise NothingToDo(
            f"{int(rows)} training examples are fewer than train_ctr.min_examples ({task.settings.min_examples}); "
            "widen ctr_examples.window_days or ctr_examples.label_window_days, or lower the limit"
        )
    if positives in (0, rows):
        kind = "negative" if positives == 0 else "positive"
        raise NothingToDo(
            f"all {int(rows)} training examples are {kind}; a ranker needs both, "
            "check ctr_examples.label_types and the label window"
        )
    lows, highs = counts[:, 4:6].min(axis=0), counts[:, 6:8].max(axis=0)
    constant = bool((highs - lows <= SAME_RATE * highs).all())
    correction = task.settings.correction
    if correction == "shift" and not constant:
        raise ConfigError(
            "train_ctr.correction: shift needs one sample_rate per class, but it varies within a class; "
            "use weights or auto"
        )
    weigh = correction == "weights" or not constant
    population = float(positive_weight / weight)
    return Facts(
        rows=int(rows),
        positives=int(positives),
        weigh=weigh,
        shift=0.0 if weigh else sampling_shift(float(lows[0]), float(lows[1])),
        mean_weight=float(weight / rows) if weigh else 1.0,
        base_rate=population if weigh else float(positives / rows),
        population_rate=population,
        steps=steps,
    )
