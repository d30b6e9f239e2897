"""What the ranks must agree on before the first step: counts, rates, the correction for sampling, the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.ctr.base import Shard, TrainTask
from recsys.ctr.calibration import sampling_shift
from recsys.ctr.training.comm import Communicator
from recsys.ctr.training.reader import Codes, Reader, inverse_propensities, lists_of, outcome
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
        Mean weight of a training example, inverse propensities included; the loss is divided by it.
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


@dataclass(frozen=True)
class _Counted:
    """Sums over the labeled rows of one rank, or of all of them.

    Attributes
    ----------
    sums : array of shape (2, 2, 2)
        Total weight by class, by whether rows weigh 1 / sample_rate, and by whether they weigh 1 / propensity.
    lows, highs : array of shape (2,)
        Range of the sampling rates by class.
    longest : float
        Rows of the longest list.
    """

    sums: Counts
    lows: Counts
    highs: Counts
    longest: float

    def flat(self) -> Counts:
        return np.concatenate([self.sums.ravel(), self.lows, self.highs, [self.longest]])

    @classmethod
    def of_all(cls, flat: Counts) -> _Counted:
        """Put the counts of the ranks, one per row, together."""
        return cls(
            flat[:, :8].sum(axis=0).reshape(2, 2, 2), flat[:, 8:10].min(axis=0), flat[:, 10:12].max(axis=0),
            float(flat[:, 12].max()),
        )  # fmt: skip


def survey(task: TrainTask, comm: Communicator, reader: Reader) -> tuple[Facts, tuple[Shard, ...]]:
    """Count the training split and return the facts and this rank's shards.

    Raises
    ------
    DataError, ConfigError
        On every rank, so that none waits for one that has failed.
    NothingToDo
        If there are too few examples, or all are of one class.
    """
    problem, lots, counts = "", [], np.zeros(13)
    try:
        _check_lists(task)
        lots = assign(task.train, comm.size)
        counts = _count(task, reader, lots[comm.rank]).flat()
    except RecsysError as error:
        problem = ("config:" if isinstance(error, ConfigError) else "data:") + str(error)
    problems = [bytes(p).decode() for p in comm.gather(np.frombuffer(problem.encode(), dtype=np.uint8))]
    if any(problems):
        kind, _, message = next(p for p in problems if p).partition(":")
        raise (ConfigError if kind == "config" else DataError)(message)
    of_all_ranks = np.stack(comm.gather(counts))
    rows = [int(rank[:8].reshape(2, 2, 2)[:, 0, 0].sum()) for rank in of_all_ranks]
    return _facts(task, _Counted.of_all(of_all_ranks), rows), lots[comm.rank]


def _check_lists(task: TrainTask) -> None:
    if task.settings.loss != "binary" and task.group is None:
        raise ConfigError(f"train_ctr.loss {task.settings.loss} needs lists, but no column names that of an example")


def _count(task: TrainTask, reader: Reader, shards: tuple[Shard, ...]) -> _Counted:
    columns, by_list = task.columns, task.settings.loss != "binary"
    sums, lists = np.zeros((2, 2, 2)), [np.zeros(0, dtype=np.uint64)]
    lows, highs = np.full(2, np.inf), np.full(2, -np.inf)
    for group in reader.row_groups(shards):
        table = reader.table(group, columns.names)
        label, rate = outcome(table, columns.label, columns.sample_rate)
        inverse = inverse_propensities(table, columns)
        for klass in (0, 1):
            of_class = label == klass
            rates, shown = rate[of_class], inverse[of_class]
            if len(rates):
                lows[klass], highs[klass] = min(lows[klass], rates.min()), max(highs[klass], rates.max())
                sums[klass] += [[len(rates), shown.sum()], [(1 / rates).sum(), (shown / rates).sum()]]
        if by_list:
            lists.append(lists_of(table, columns.group))
    return _Counted(sums, lows, highs, _longest(np.concatenate(lists)))


def _longest(lists: Codes) -> float:
    return float(np.unique(lists, return_counts=True)[1].max(initial=1))


def _facts(task: TrainTask, counted: _Counted, rows_of_ranks: list[int]) -> Facts:
    negatives, positives = counted.sums[:, 0, 0]
    rows = negatives + positives
    _check_counts(task, int(rows), int(positives), min(rows_of_ranks))
    lows, highs = counted.lows, counted.highs
    constant = bool((highs - lows <= SAME_RATE * highs).all())
    correction = task.settings.correction
    if correction == "shift" and not constant:
        raise ConfigError(
            "train_ctr.correction: shift needs one sample_rate per class, but it varies within a class; "
            "use weights or auto"
        )
    # Within a list the rows that were not kept have to count, so a loss over lists always weighs.
    weigh = correction == "weights" or not constant or task.settings.loss != "binary"
    seen, population = counted.sums[:, int(weigh), 1], counted.sums[:, 1, 0]
    steps = steps_per_epoch(rows_of_ranks, task.settings.batch_size, longest=int(counted.longest))
    return Facts(
        rows=int(rows),
        positives=int(positives),
        weigh=weigh,
        shift=0.0 if weigh else sampling_shift(float(lows[0]), float(lows[1])),
        mean_weight=float(seen.sum() / rows),
        base_rate=float(seen[1] / seen.sum()),
        population_rate=float(population[1] / population.sum()),
        steps=steps,
    )


def _check_counts(task: TrainTask, rows: int, positives: int, fewest: int) -> None:
    if rows < task.settings.min_examples:
        raise NothingToDo(
            f"{rows} training examples are fewer than train_ctr.min_examples ({task.settings.min_examples}); "
            "widen ctr_examples.window_days, raise ctr_examples.instants, or lower the limit"
        )
    if positives in (0, rows):
        kind = "negative" if positives == 0 else "positive"
        raise NothingToDo(
            f"all {rows} training examples are {kind}; a ranker needs both, "
            "check evaluate.relevant_types and evaluate.horizon_days"
        )
    if fewest == 0:
        raise ConfigError(
            f"a rank has no example with a {task.label} in its shards; lower train_ctr.ranks or ctr_examples.shards"
        )
