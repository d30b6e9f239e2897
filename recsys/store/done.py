"""Which jobs need not run again: what they read and what they made is still as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pyspark.sql import Row
from pyspark.sql import functions as F

import recsys
from recsys import data
from recsys.config import stamp
from recsys.store.catalog import table_named
from recsys.store.files import file_exists
from recsys.store.history import Commit, History
from recsys.store.runs import JobState
from recsys.store.tables import Tables

_OF_AN_INSTANT = ("/as_of=", "/run_date=")
"""Slices that belong to one instant; the others are filled by runs for all of them."""
UPKEEP: Final = "maintain"
"""The job that removes what was made for instants before the one that its commits name."""


class Done:
    """The runs of some instants, and what was committed after them.

    Parameters
    ----------
    tables : Tables
        Where `runs` and the other tables are.
    instants : collection of datetime
        The instants that will be asked about.
    """

    def __init__(self, tables: Tables, instants: Collection[datetime]) -> None:
        self._tables = tables
        self._history = History(tables)
        self._rows = self._runs(instants) if tables.exists(data.RUNS) else []
        self._counted: dict[tuple[datetime, int | None], int | None] = {}

    def is_done(
        self,
        job: JobState,
        as_of: datetime,
        *,
        feeders: Collection[str] | None = None,
        every_instant: Collection[str] = (),
        earlier: Collection[datetime] = (),
        of_earlier: Collection[str] = (),
        settled: bool = False,
    ) -> bool:
        """Tell whether a job is done for an instant, and nothing that decides its result has changed since.

        It is not if its config, its outside inputs or the code changed; if another run has taken its slice since; if
        a table that it read is at a later version because of a commit that it would read; or if something that it made
        is gone.

        Parameters
        ----------
        feeders : collection of str, optional
            Jobs whose commits it reads, because some tables hold the work of several jobs (`models`). None: all others.
        every_instant : collection of str
            Jobs of which it reads what they commit for any instant, not only for its own.
        earlier : collection of datetime
            Further instants of which it reads what was made.
        of_earlier : collection of str
            Jobs of which it reads what they made for these, and nothing that they make for its own instant.
        settled : bool
            Whether the instant lies in the past of the run: what comes in for every instant then matters only if it
            brought events from before it. Later states of the catalog and of profiles do not.
        """
        mine = self._latest(job, as_of)
        if mine is None or self._taken_since(mine, job):
            return False
        past = {stamp(instant) for instant in earlier}
        instants = {stamp(as_of), *past}

        def matters(commit: Commit) -> bool:
            if commit.run_id == mine["run_id"] or commit.job == job.name:
                return False
            if not commit.job:
                return True
            read = feeders is None or commit.job in feeders
            if not read:
                return commit.job in of_earlier and commit.as_of in past
            if commit.job in every_instant and settled:
                return self._late_events(mine, as_of)
            return commit.job in every_instant or commit.as_of in instants

        if any(self._moved(name, version, matters) for name, version in mine["reads"].items()):
            return False

        def takes(commit: Commit) -> bool:
            return not commit.job or (commit.job == UPKEEP and commit.as_of > stamp(as_of))

        written = mine["writes"].items()
        return self._is_there(mine) and not any(self._moved(name, at, takes) for name, at in written)

    def _latest(self, job: JobState, as_of: datetime) -> Row | None:
        """The newest run that made what the job would make; None if a later one of its own made something else."""
        own = [run for run in self._rows if run["job"] == job.name and (job.ignores_as_of or run["at"] == stamp(as_of))]
        now = (job.config_hash, recsys.__version__, "done")
        for run in sorted(own, key=lambda run: run["started"], reverse=True):
            if (run["config_hash"], run["code_version"], run["status"]) == now:
                return run
            if not job.ignores_as_of and _may_have_written(run):
                return None
        return None

    def _taken_since(self, mine: Row, job: JobState) -> bool:
        """Whether a run for another instant has taken the slice of this one: two instants of a day share a run date."""
        held = _of_an_instant(mine["slices"])
        return any(
            run["started"] > mine["started"] and held & _of_an_instant(run["slices"]) and _may_have_written(run)
            for run in self._rows
            if run["job"] == job.name and run["run_id"] != mine["run_id"]
        )

    def _moved(self, name: str, version: int, matters: Callable[[Commit], bool]) -> bool:
        table = table_named(name)
        commits = self._history.since(table, version) if table is not None else None
        return commits is None or any(matters(commit) for commit in commits)

    def _late_events(self, run: Row, as_of: datetime) -> bool:
        """Whether the log has other events before an instant than the run read."""
        version = run["reads"].get(data.EVENTS.name)
        if version is None:
            return False
        counted = (run["counted"] or {}).get(data.EVENTS.name)
        then = self._events_before(as_of, version) if counted is None else counted
        return then != self._events_before(as_of, None)

    def _events_before(self, as_of: datetime, version: int | None) -> int | None:
        """Count the events before an instant, in a version of the table or now; None for a version that is gone."""
        if (as_of, version) not in self._counted:
            self._counted[as_of, version] = self._tables.rows_before(data.EVENTS, as_of, version=version)
        return self._counted[as_of, version]

    def _is_there(self, run: Row) -> bool:
        return all(file_exists(self._tables.spark, self._tables.path(file)) for file in run["files"] or ())

    def _runs(self, instants: Collection[datetime]) -> Sequence[Row]:
        """Runs for the days of these instants, and those whose result does not depend on one."""
        wanted = F.exists("slices", lambda name: name.contains("/source="))
        for instant in instants:
            day = instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            wanted = wanted | ((F.col("as_of") >= F.lit(day)) & (F.col("as_of") < F.lit(day + timedelta(days=1))))
        runs = self._tables.read(data.RUNS)
        return (
            runs.where(wanted)
            .select(
                *("run_id", "job", "config_hash", "code_version", "status", "reads", "writes", "slices", "files"),
                "counted",
                F.date_format("as_of", "yyyyMMdd'T'HHmmss'Z'").alias("at"),
                F.unix_micros("started_at").alias("started"),
            )
            .collect()
        )


def _of_an_instant(slices: Sequence[str] | None) -> set[str]:
    return {name for name in slices or () if any(part in name for part in _OF_AN_INSTANT)}


def _may_have_written(run: Row) -> bool:
    """A run that died can't say; one that failed or found nothing to do says what it wrote until then."""
    return run["status"] in ("done", "lost", "running") or bool(run["writes"])
