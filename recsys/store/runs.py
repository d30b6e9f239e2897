"""The `runs` table: one row per run, which is also the hold on the run's slice, and what follows from it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F

import recsys
from recsys import data
from recsys.config import stamp
from recsys.data import Table
from recsys.errors import RecsysError
from recsys.progress import Recorder
from recsys.store.catalog import table_named
from recsys.store.holds import Hold
from recsys.store.warehouse import Warehouse


@dataclass(frozen=True)
class JobState:
    """A job under a config: what its row in `runs` says of it, and what decides whether it is up to date.

    Attributes
    ----------
    name : str
        The job.
    config_hash : str
        Hash of the config keys that decide its result, and of its inputs outside the warehouse.
    reads : frozenset of str
        Tables that it reads.
    ignores_as_of : bool
        Once done for its inputs, it is done for every instant.
    config : str
        Resolved config as JSON.
    dataset : str, optional
        Name of the dataset mapping.
    """

    name: str
    config_hash: str
    reads: frozenset[str] = frozenset()
    ignores_as_of: bool = False
    config: str = "{}"
    dataset: str | None = None


class RunLog:
    """Writes and reads the `runs` table of a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    @contextmanager
    def holding(self, job: JobState, as_of: datetime, recorder: Recorder, *, lease_minutes: int) -> Iterator[str]:
        """Hold the slice of a job and an instant until the block ends, and record how it ended.

        Parameters
        ----------
        lease_minutes : int
            A holder on another host whose heartbeat is older than this is taken as dead.

        Yields
        ------
        str
            The run's id.

        Raises
        ------
        SliceHeldError
            Naming the holder, if another living run holds the slice.
        """
        run_id = uuid.uuid4().hex
        hold = Hold(self.warehouse, _first_values(run_id, job, as_of), lease_minutes=lease_minutes)
        hold.take()
        started = time.monotonic()
        status, error = "failed", None
        try:
            with hold.kept_alive():
                yield run_id
            status = "done"
        except RecsysError as problem:
            error = str(problem)
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}"
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            hold.end({"status": status, "error": error, "seconds": seconds, **_recorded(recorder)})

    def up_to_date(
        self,
        job: JobState,
        as_of: datetime,
        *,
        feeders: Collection[str] | None = None,
        every_instant: Collection[str] = (),
    ) -> bool:
        """Tell whether a job is done for an instant, and nothing that decides its result has changed since.

        It is not if its config, its outside inputs or the code changed; if a later run of its own took the slice under
        another config or failed; or if a table that it reads has been written since it started. A write counts when a
        job of `feeders`, for the same instant or listed in `every_instant`, put rows into the table.

        Parameters
        ----------
        feeders : collection of str, optional
            Jobs whose writes count, because some tables hold the work of several jobs (`models`). None: all others.
        every_instant : collection of str
            Jobs of which a write for any instant counts.
        """
        if not self.warehouse.exists(data.RUNS):
            return False
        runs = self._runs(as_of, {*every_instant, *([job.name] if job.ignores_as_of else [])})
        own = [run for run in runs if run["job"] == job.name and (job.ignores_as_of or run["same_instant"])]
        now = (job.config_hash, recsys.__version__, "done")
        mine = [run for run in own if (run["config_hash"], run["code_version"], run["status"]) == now]
        if not mine:
            return False
        latest = max(mine, key=lambda run: run["started"])
        if not job.ignores_as_of and max(run["started"] for run in own) > latest["started"]:
            return False
        others = [run for run in runs if run["job"] != job.name and (feeders is None or run["job"] in feeders)]
        if any(_fed(job, run, since=latest["started"]) for run in others):
            return False
        written = [table_named(name) for name in latest["writes"]]
        return all(table is not None and self.warehouse.exists(table) for table in written)

    def last_config(self, job: str, *, dataset: str, wrote: Table) -> dict[str, Any] | None:
        """Return the config of the newest run of a job that put rows of a dataset into a table; None without one."""
        if not self.warehouse.exists(data.RUNS):
            return None
        runs = self.warehouse.read(data.RUNS, where={"job": job, "dataset": dataset})
        wrote_some = F.coalesce(F.col("rows")[wrote.name], F.lit(0)) > 0
        newest = runs.where(wrote_some).orderBy(F.desc("started_at"), "run_id").select("config").first()
        found: dict[str, Any] | None = json.loads(newest["config"]) if newest else None
        return found

    def _runs(self, as_of: datetime, every_instant: Collection[str]) -> list[Row]:
        """Runs for an instant, and those of some jobs for any: a handful, however old the warehouse is."""
        runs = self.warehouse.delta(data.RUNS).toDF()
        same_instant = F.col("as_of") == F.lit(as_of)
        return (
            runs.where(same_instant | F.col("job").isin(list(every_instant)))
            .select(
                *("job", "config_hash", "code_version", "status", "rows", "writes"),
                same_instant.alias("same_instant"),
                F.unix_micros("started_at").alias("started"),
                F.unix_micros("finished_at").alias("finished"),
            )
            .collect()
        )


def _first_values(run_id: str, job: JobState, as_of: datetime) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "job": job.name,
        "slice": f"{job.name}@{stamp(as_of)}",
        "as_of": as_of,
        "dataset": job.dataset,
        "config_hash": job.config_hash,
        "code_version": recsys.__version__,
        "config": job.config,
    }


def _recorded(recorder: Recorder) -> dict[str, Any]:
    steps = [{"name": step.name, "seconds": round(step.seconds, 3), "rows": step.rows} for step in recorder.steps]
    return {"reads": recorder.reads, "writes": recorder.writes, "rows": recorder.rows, "steps": steps}


def _fed(job: JobState, run: Row, *, since: int) -> bool:
    """Whether a finished run put rows into a table that the job reads, after the job had started."""
    wrote = {name for name, rows in run["rows"].items() if rows}
    return bool(run["status"] == "done" and run["finished"] > since and job.reads & wrote)
