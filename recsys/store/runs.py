"""The `runs` table: one row per run, which is also the hold on the run's slices, and what follows from it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyspark.sql import functions as F

import recsys
from recsys import data
from recsys.config import stamp
from recsys.data import Table
from recsys.errors import NothingToDo, RecsysError
from recsys.progress import Recorder, note
from recsys.store.catalog import all_tables
from recsys.store.holds import Hold
from recsys.store.tables import Tables


@dataclass(frozen=True)
class JobState:
    """A job under a config: what its row in `runs` says of it, and what decides whether it is up to date.

    Attributes
    ----------
    name : str
        The job.
    config_hash : str
        Hash of the config keys that decide its result, and of its inputs outside the warehouse.
    ignores_as_of : bool
        Once done for its inputs, it is done for every instant.
    config : str
        Resolved config as JSON.
    dataset : str, optional
        Name of the dataset mapping.
    """

    name: str
    config_hash: str
    ignores_as_of: bool = False
    config: str = "{}"
    dataset: str | None = None


@dataclass
class Result:
    """What a run leaves behind, for its row; filled while it goes on.

    Attributes
    ----------
    reads, writes : dict of str to int
        Table name to Delta version.
    rows : dict of str to int
        Table name to rows written.
    files : list of str
        Files beside the tables, relative to the warehouse.
    """

    reads: dict[str, int] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


class RunLog:
    """Writes and reads the `runs` table of a warehouse."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @contextmanager
    def holding(
        self,
        job: JobState,
        as_of: datetime,
        *,
        slices: Sequence[str],
        recorder: Recorder,
        result: Result,
        lease_minutes: float,
    ) -> Iterator[Hold]:
        """Hold slices until the block ends, and record how it ended.

        Parameters
        ----------
        slices : sequence of str
            What the run may write: `slices_of`.
        result : Result
            To be filled within the block.
        lease_minutes : float
            A holder on another host whose heartbeat is older than this is taken as dead.

        Raises
        ------
        SliceHeldError
            Naming the holder, if another living run holds one of the slices.
        """
        values = _first_values(uuid.uuid4().hex, job, as_of) | {"slices": list(slices)}
        hold = Hold(self.tables, values, lease_minutes=lease_minutes)
        hold.take()
        started = time.monotonic()
        status, error, first = "failed", None, None
        try:
            with hold.kept_alive():
                yield hold
                hold.require()
            status = "done"
        except BaseException as problem:
            first = problem
            status = "skipped" if isinstance(problem, NothingToDo) else "failed"
            error = str(problem) if isinstance(problem, RecsysError) else type(problem).__name__
            raise
        finally:
            steps = [{"name": s.name, "seconds": round(s.seconds, 3), "rows": s.rows} for s in recorder.steps]
            seconds = round(time.monotonic() - started, 3)
            try:
                hold.end({"status": status, "error": error, "seconds": seconds, "steps": steps, **vars(result)})
            except Exception as second:
                if first is None:
                    raise
                # What stopped the run is what its user has to know; the row stays until the next run finds it dead.
                note(f"how the run ended could not be written into runs ({type(second).__name__})")

    def last_config(self, job: str, *, dataset: str, wrote: Table) -> dict[str, Any] | None:
        """Return the config of the newest run of a job that may have put a dataset into a table, if there is one."""
        if not self.tables.exists(data.RUNS):
            return None
        runs = self.tables.read(data.RUNS, where={"job": job, "dataset": dataset})
        may_have_written = F.col("status").isin("done", "lost") | F.col("writes")[wrote.name].isNotNull()
        newest = runs.where(may_have_written).orderBy(F.desc("started_at"), "run_id").select("config").first()
        found: dict[str, Any] | None = json.loads(newest["config"]) if newest else None
        return found

    def newest_rows(self) -> list[tuple[str, int, str]]:
        """Return table, rows and job of what the newest run of each job that wrote the table put into it."""
        if not self.tables.exists(data.RUNS):
            return []
        ended = self.tables.read(data.RUNS).where(F.col("status").isin("done", "skipped"))
        newest = (
            ended.select("job", "started_at", F.explode("rows").alias("name", "n"))
            .groupBy("name", "job")
            .agg(F.max_by("n", "started_at").alias("n"))
            .collect()
        )
        order = {table.name: place for place, table in enumerate(all_tables())}
        found = [(row["name"], row["n"], row["job"]) for row in newest]
        return sorted(found, key=lambda one: (order.get(one[0], len(order)), one))

    def newest_end(self, job: str, as_of: datetime | None) -> tuple[str, str | None] | None:
        """Return status and error of a job's newest ended run, for an instant or for any; None if there is none."""
        if not self.tables.exists(data.RUNS):
            return None
        runs = self.tables.read(data.RUNS, where={"job": job} | ({"as_of": as_of} if as_of else {}))
        ended = runs.where("status <> 'running'").orderBy(F.desc("started_at"), "run_id")
        newest = ended.select("status", "error").first()
        return (newest["status"], newest["error"]) if newest else None


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
