"""Where the training function runs: in this process, or on the executors of a Spark cluster through Horovod.

Ranks import this module, so Spark is imported only where the driver needs it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from typing import Any, Protocol

from recsys.ctr.base import TrainOutcome, TrainTask
from recsys.errors import EnvironmentProblem, RecsysError
from recsys.progress import note

NAMES_ERROR = re.compile(r"[\w.]*(Error|Problem|Exception)\b.*: \S")
RankFunction = Callable[[TrainTask], TrainOutcome | RecsysError]


class Launcher(Protocol):
    """Runs a task on one or more ranks and returns the outcome of rank 0."""

    def run(self, task: TrainTask) -> TrainOutcome:
        """Train; all ranks have ended when this returns or raises."""
        ...


class LocalLauncher:
    """One rank in this process."""

    def run(self, task: TrainTask) -> TrainOutcome:
        """Train here."""
        from recsys.ctr.training.comm import Alone
        from recsys.ctr.training.loop import train

        return train(task, Alone())


class HorovodLauncher:
    """One rank per executor slot, started by `horovod.spark.run` over Gloo.

    Parameters
    ----------
    ranks : int, optional
        Number of ranks; None for one per slot (`spark.default.parallelism`), up to the number of shards.
    start_timeout_seconds : int
        How long to wait for executors.
    stall_timeout_seconds : int
        Ranks that wait for each other longer than this end the job.
    rank_function : callable, optional
        What a rank runs; :func:`run_rank` by default.
    """

    def __init__(
        self,
        *,
        ranks: int | None = None,
        start_timeout_seconds: int = 600,
        stall_timeout_seconds: int = 300,
        rank_function: RankFunction | None = None,
    ) -> None:
        self._ranks = ranks
        self._rank_function = rank_function or run_rank
        self._start_timeout = start_timeout_seconds
        self._stall_timeout = stall_timeout_seconds

    def run(self, task: TrainTask) -> TrainOutcome:
        """Train on executors.

        Raises
        ------
        EnvironmentProblem
            If executors do not arrive in time, or a rank dies.
        RecsysError
            What all ranks raise about data or config.
        """
        outcomes = [self._checked(result) for result in self._results(task)]
        if len({outcome.checksum for outcome in outcomes}) != 1:
            raise EnvironmentProblem("ranks ended with different weights; run train_ctr again")
        return outcomes[0]

    def _results(self, task: TrainTask) -> list[Any]:
        import horovod.spark

        from recsys.spark import dynamic_allocation, executor_slots, worker_python

        ranks = self._ranks or min(executor_slots(), len([s for s in task.train if s.rows > 0]))
        if dynamic_allocation():
            note(
                "dynamic allocation is on: an executor that leaves ends the training; use fixed executors for train_ctr"
            )
        tail = Tail()
        try:
            return list(
                horovod.spark.run(
                    self._rank_function,
                    args=(task,),
                    num_proc=ranks,
                    start_timeout=self._start_timeout,
                    use_gloo=True,
                    env=self._environment(),
                    # The interpreter of Spark's own Python workers: a packed environment lies elsewhere on executors.
                    executable=worker_python(),
                    stderr=tail,
                    verbose=1,
                )
            )
        except RecsysError:
            raise
        except Exception as error:
            raise EnvironmentProblem(self._explain(error, ranks, tail)) from error

    def _environment(self) -> dict[str, str]:
        stall = str(self._stall_timeout)
        return {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "HOROVOD_STALL_CHECK_TIME_SECONDS": str(max(1, self._stall_timeout // 2)),
            "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": stall,
            "HOROVOD_GLOO_TIMEOUT_SECONDS": stall,
        }

    def _explain(self, error: Exception, ranks: int, tail: Tail) -> str:
        said = " ".join(str(error).split())
        if "Timed out waiting" in said:
            return (
                f"{ranks} executor slots for training did not come within {self._start_timeout} s; "
                "lower train_ctr.ranks, free executors or raise train_ctr.start_timeout_seconds"
            )
        said = tail.last() or f"its log on the executor says why ({said})"
        return f"a training rank ended early and took the job down: {said}"

    @staticmethod
    def _checked(result: Any) -> TrainOutcome:
        if isinstance(result, RecsysError):
            raise result
        if not isinstance(result, TrainOutcome):
            raise EnvironmentProblem("a training rank returned nothing; its log on the executor says why")
        return result


class Tail(io.TextIOBase):
    """A stream that passes text on to stderr and remembers the last line that names an error."""

    def __init__(self) -> None:
        self._partial = ""
        self._last = ""

    def write(self, text: str) -> int:
        """Take text, in pieces of any length."""
        os.write(2, text.encode(errors="replace"))
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            bare = re.sub(r"^\[\d+\]<stderr>:", "", line)
            if NAMES_ERROR.match(bare):
                self._last = bare.strip()
        return len(text)

    def last(self) -> str:
        """Return the last line of a traceback that names an error, or nothing."""
        return self._last


def run_rank(task: TrainTask) -> TrainOutcome | RecsysError:
    """Run one rank inside the process that Horovod started for it."""
    pin_device(handed_out())
    import horovod.tensorflow as hvd

    from recsys.ctr.training.comm import Horovod
    from recsys.ctr.training.loop import train

    hvd.init()
    try:
        return train(task, Horovod())
    except RecsysError as error:
        return error
    finally:
        hvd.shutdown()


def handed_out() -> list[str]:
    """Return the addresses of the GPUs that Spark gave to this rank's task; none on CPU executors."""
    from horovod.spark.task import get_available_devices

    return [str(device) for device in get_available_devices() or []]


def pin_device(devices: list[str]) -> None:
    """Let this process see the first GPU that it was given, and no other; none at all where it was given none."""
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[0] if devices else ""
