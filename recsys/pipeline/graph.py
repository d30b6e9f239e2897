"""The order of the jobs, for which instants each of them runs, and which need not run again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pyspark.sql import SparkSession

from recsys import data, progress
from recsys.config import Config, stamp
from recsys.data import TablePart
from recsys.data.log import as_instant
from recsys.errors import ConfigError, NothingToDo
from recsys.features.daily import first_event
from recsys.features.examples import CANDIDATES
from recsys.features.ladder import ladder
from recsys.pipeline.job import Job, execute
from recsys.store import Warehouse
from recsys.store.done import Done

Jobs = Mapping[str, Job]


@dataclass(frozen=True)
class Stage:
    """One job at one instant."""

    job: Job
    as_of: datetime

    @property
    def label(self) -> str:
        """Its name in logs: `candidates@20180825T000000Z`."""
        return f"{self.job.name}@{stamp(self.as_of)}"


class Outcome(NamedTuple):
    """How a stage ended.

    Attributes
    ----------
    label : str
        The stage.
    result : str
        `done`, `skipped` (done before for this instant and config, nothing newer to read) or the reason why there was
        nothing to do.
    seconds : float
        Wall-clock time.
    """

    label: str
    result: str
    seconds: float


def feeds(maker: Job, reader: Job) -> bool:
    """Tell whether a job writes something that another one reads."""
    return maker is not reader and any(_same(made, read) for made in maker.writes for read in reader.reads)


def _same(made: data.Table | TablePart, read: data.Table | TablePart) -> bool:
    parts = {touched.part for touched in (made, read) if isinstance(touched, TablePart)}
    return made.name == read.name and len(parts) <= 1


def writes_any(job: Job, tables: Sequence[data.Table | TablePart]) -> bool:
    """Tell whether a job writes one of some tables."""
    return any(table in job.writes for table in tables)


def ordered(jobs: Jobs) -> list[str]:
    """Return the names of the jobs, makers before readers, ties by name.

    Raises
    ------
    ConfigError
        If jobs read each other's tables in a circle.
    """
    left, order = sorted(jobs), []
    while left:
        ready = next((n for n in left if not any(feeds(jobs[other], jobs[n]) for other in left)), None)
        if ready is None:
            raise ConfigError(f"the jobs {', '.join(left)} read each other's tables in a circle")
        left.remove(ready)
        order.append(ready)
    return order


def upstream(jobs: Jobs, names: Sequence[str]) -> set[str]:
    """Return the jobs that have to run before these, and these."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += [other for other in jobs if feeds(jobs[other], jobs[name])]
    return found


def check_part(jobs: Jobs, first: str | None, last: str | None) -> list[str]:
    """Return the jobs from a first to a last one, in order.

    Raises
    ------
    ConfigError
        If a name is not a job of the pipeline, or the part is empty.
    """
    order = ordered(jobs)
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in order:
            raise ConfigError(f"{flag} {name}: no such job; the pipeline is {', '.join(order)}")
    begin, end = order.index(first or order[0]), order.index(last or order[-1])
    if begin > end:
        raise ConfigError(f"--from {first} --to {last}: {last} comes before {first} in the pipeline")
    return order[begin : end + 1]


def rungs(spark: SparkSession, config: Config, as_of: datetime) -> tuple[datetime, ...]:
    """Return the past instants whose candidates the ranker learns from, the newest first.

    Those that the log does not reach back to by a cadence are left out: there would be next to nothing to fit.
    """
    found = config_ladder(config, as_of)
    if not found:
        return ()
    first = first_event(Warehouse(spark, config.warehouse).read(data.EVENTS, before=as_of, required=False))
    cadence = timedelta(days=config.ctr_examples.cadence_days or config.evaluate.horizon_days)
    return tuple(rung for rung in found if first is not None and first + cadence <= rung)


def config_ladder(config: Config, as_of: datetime) -> tuple[datetime, ...]:
    """Return the instants that a config asks for; none where it does not learn from candidates."""
    settings = config.ctr_examples
    if CANDIDATES not in settings.origins:
        return ()
    return ladder(
        as_of,
        horizon_days=config.evaluate.horizon_days,
        instants=settings.instants,
        cadence_days=settings.cadence_days,
    )


def plan(jobs: Jobs, as_of: datetime, *, rungs: Sequence[datetime]) -> list[Stage]:
    """Lay out every job that depends on an instant.

    The jobs that make candidates also run at each rung of the ladder, the oldest first; what was taken up after it
    labels them.
    """
    order = [name for name in ordered(jobs) if jobs[name].inputs is None]
    makers = [name for name in order for job in jobs.values() if writes_any(jobs[name], job.earlier)]
    again = upstream(jobs, makers)
    # What itself looks back from an instant was learned when that instant was today, or is done without.
    back = [name for name in order if name in again and not jobs[name].earlier]
    stages = [Stage(jobs[name], rung) for rung in sorted(rungs) for name in back]
    return stages + [Stage(jobs[name], as_of) for name in order]


def run_pipeline(
    spark: SparkSession,
    config: Config,
    as_of: datetime,
    jobs: Jobs,
    *,
    first: str | None = None,
    last: str | None = None,
    force: bool = False,
) -> list[Outcome]:
    """Run the pipeline, or the part of it from one job to another.

    Returns
    -------
    list of Outcome
        One per stage, in order.
    """
    part, as_of = check_part(jobs, first, last), as_instant(as_of)
    runner = _Runner(spark, config, jobs, force, as_of)
    outcomes = [runner.run(Stage(jobs[name], as_of)) for name in part if jobs[name].inputs is not None]
    if all(jobs[name].inputs is not None for name in part):
        return outcomes
    stages = plan(jobs, as_of, rungs=rungs(spark, config, as_of))
    return outcomes + [runner.run(stage) for stage in stages if stage.job.name in part]


class _Runner:
    """Runs stages one after another; what has been done since the pipeline started counts as well."""

    def __init__(self, spark: SparkSession, config: Config, jobs: Jobs, force: bool, as_of: datetime) -> None:
        self._spark, self._config, self._jobs, self._force, self._as_of = spark, config, jobs, force, as_of
        self._ladder = config_ladder(config, as_of)
        self._done = Done(Warehouse(spark, config.warehouse), (*self._ladder, as_of))
        self._order = ordered(jobs)

    def run(self, stage: Stage) -> Outcome:
        """Run a stage unless it is up to date."""
        if not self._force and self._is_done(stage):
            progress.note(f"{stage.label}: already done, skipped")
            return Outcome(stage.label, "skipped", 0.0)
        started = time.monotonic()
        try:
            execute(stage.job, self._spark, self._config, stage.as_of)
        except NothingToDo as reason:
            progress.note(f"{stage.label}: {reason}")
            return Outcome(stage.label, str(reason), time.monotonic() - started)
        return Outcome(stage.label, "done", time.monotonic() - started)

    def _is_done(self, stage: Stage) -> bool:
        return self._done.is_done(
            stage.job.state(self._spark, self._config),
            stage.as_of,
            feeders=self._order[: self._order.index(stage.job.name)],
            every_instant=[name for name, job in self._jobs.items() if job.every_instant],
            earlier=self._ladder if stage.job.earlier else (),
            of_earlier=[name for name in self._order if writes_any(self._jobs[name], stage.job.earlier)],
            settled=stage.as_of < self._as_of,
        )
