"""The order of the line: which job runs for which instant, and which need not run again."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import progress, tables
from recsys.config import Config, stamp
from recsys.errors import ConfigError, NothingToDo
from recsys.io import Warehouse
from recsys.runner.job import Job, execute
from recsys.runner.runs import RunLog
from recsys.runner.shipped import shipped

INGEST = ("clean",)
RETRIEVE = ("index", "features", "train_als", "neighbors", "popular", "candidates")
LEARN = ("ctr_examples", "train_ctr")
SERVE = ("rank", "publish", "evaluate")
ORDER = (*INGEST, *RETRIEVE, *LEARN, *SERVE)
"""Job names in the order in which a user names them with --from and --to."""


@dataclass(frozen=True)
class Stage:
    """One job at one instant."""

    job: Job
    as_of: datetime

    @property
    def label(self) -> str:
        """Name for people: `candidates@20180825T000000Z`."""
        return f"{self.job.name}@{stamp(self.as_of)}"


def load_jobs(folder: Path) -> dict[str, Job]:
    """Load every job of the line from its file in a folder; job files never import each other.

    A folder without any is one to which a cluster copied the main program alone: the jobs of the installed package
    are taken then.

    Raises
    ------
    ConfigError
        If the folder lacks some jobs of the line, or there is no installed package either.
    """
    if not any((folder / f"{name}.py").is_file() for name in ORDER):
        folder = shipped("jobs")
    jobs = {}
    for name in ORDER:
        file = folder / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"_recsys_job_{name}", file)
        if spec is None or spec.loader is None or not file.is_file():
            raise ConfigError(f"{file}: the line's job {name} is not there; install the package again")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        jobs[name] = module.JOB
    return jobs


def check_part(first: str | None, last: str | None) -> tuple[str, str]:
    """Return the first and the last job of a part of the line.

    Raises
    ------
    ConfigError
        If a name is no job of the line or the part is empty.
    """
    for flag, name in (("--from", first), ("--to", last)):
        if name is not None and name not in ORDER:
            raise ConfigError(f"{flag} {name}: no such job; the line is {', '.join(ORDER)}")
    part = (first or ORDER[0], last or ORDER[-1])
    if ORDER.index(part[0]) > ORDER.index(part[1]):
        raise ConfigError(f"--from {first} --to {last}: {last} comes before {first} in the line")
    return part


def learns_from_lists(spark: SparkSession, config: Config, as_of: datetime) -> bool:
    """Tell whether examples come from shown lists; if not, the retrievers are also fitted one label window earlier.

    Lists are there to learn from if the window holds some, and something that was taken up: by the source's own
    label, or by an event that names its list.
    """
    if config.examples.origin != "auto":
        return config.examples.origin == "impressions"
    warehouse = Warehouse(spark, config.warehouse)
    since = as_of - timedelta(days=config.examples.window_days)
    shown = warehouse.read(tables.IMPRESSIONS, before=as_of, since=since, required=False)
    if shown.isEmpty():
        return False
    events = warehouse.read(tables.EVENTS, before=as_of, since=since, required=False)
    of_type = F.col("event_type").isin(list(config.examples.label_types))
    return not events.where(of_type & F.col("list_id").isNotNull()).isEmpty() or not shown.where("label > 0").isEmpty()


def plan(jobs: dict[str, Job], config: Config, as_of: datetime, *, from_lists: bool) -> list[Stage]:
    """Lay out the whole line after `clean` for an instant.

    Without shown lists the ranker learns from the past's candidates: the retrievers are fitted at
    `as_of - label_window`, their candidates labelled by what followed, and fitted again at `as_of`.
    """
    stages = []
    if not from_lists:
        earlier = as_of - timedelta(days=config.examples.label_window_days)
        stages += [Stage(jobs[name], earlier) for name in RETRIEVE]
    stages += [Stage(jobs[name], as_of) for name in (*RETRIEVE, *LEARN, *SERVE)]
    return stages


def run_line(
    spark: SparkSession,
    config: Config,
    as_of: datetime,
    jobs: dict[str, Job],
    *,
    first: str | None = None,
    last: str | None = None,
    force: bool = False,
) -> list[tuple[str, str, float]]:
    """Run the line, or the part of it from one job to another.

    Returns
    -------
    list of (label, outcome, seconds)
        Outcome is `done`, `skipped` (done before for this instant and config, nothing newer to read) or the reason
        why there was nothing to do.
    """
    begin, end = check_part(first, last)
    part = ORDER[ORDER.index(begin) : ORDER.index(end) + 1]
    ran: set[str] = set()
    outcomes = []
    log = RunLog(spark, config)
    if "clean" in part:
        outcomes.append(_run(log, Stage(jobs["clean"], as_of), ran, force=force))
    if end == "clean":
        return outcomes
    for stage in plan(jobs, config, as_of, from_lists=learns_from_lists(spark, config, as_of)):
        if stage.job.name in part:
            outcomes.append(_run(log, stage, ran, force=force))
    return outcomes


def _run(log: RunLog, stage: Stage, changed: set[str], *, force: bool) -> tuple[str, str, float]:
    """Run a stage unless it is up to date, and remember which tables changed under later ones."""
    reads = {table.name for table in stage.job.reads}
    feeders = ORDER[: ORDER.index(stage.job.name)]
    if not force and not reads & changed and log.up_to_date(stage.job, stage.as_of, feeders=feeders):
        progress.note(f"{stage.label}: done before, skipped")
        return stage.label, "skipped", 0.0
    started = time.monotonic()
    try:
        recorder = execute(stage.job, log.spark, log.config, stage.as_of)
    except NothingToDo as reason:
        progress.note(f"{stage.label}: {reason}")
        return stage.label, str(reason), time.monotonic() - started
    changed.update(name for name, rows in recorder.rows.items() if rows)
    return stage.label, "done", time.monotonic() - started


def summary(outcomes: Sequence[tuple[str, str, float]]) -> str:
    """Lay the outcomes of a line out as text, one line each."""
    width = max(len(label) for label, _, _ in outcomes)
    return "\n".join(f"{label:<{width}}  {seconds:>8.1f} s  {outcome}" for label, outcome, seconds in outcomes)
