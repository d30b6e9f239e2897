"""The `runs` table: one row per run, which is also the hold on the run's slice.

A run holds its slice from the moment its row says `running`. The row is inserted by a MERGE that finds no other
living holder, and Delta lets only one of two such merges through, on any storage. A holder is dead when its process
is gone (same host) or its sign of life is older than the lease (another host).
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

import recsys
from recsys import tables
from recsys.config import Config, config_json, stamp
from recsys.errors import RecsysError, SliceHeldError
from recsys.io import Warehouse
from recsys.io.contract import schema_of
from recsys.io.holds import finish, insert_if_free, is_conflict, mark_lost
from recsys.progress import Recorder
from recsys.tables import Table

if TYPE_CHECKING:
    from recsys.runner.job import Job

_TRIES = 8


class RunLog:
    """Writes and reads the `runs` table of a warehouse."""

    def __init__(self, spark: SparkSession, config: Config) -> None:
        self.spark = spark
        self.config = config
        self.warehouse = Warehouse(spark, config.warehouse)

    @contextmanager
    def holding(self, job: Job, as_of: datetime, recorder: Recorder) -> Iterator[str]:
        """Hold the slice of (job, as_of) for the time of the block and record how it ended.

        Raises
        ------
        SliceHeldError
            Naming the holder, if another living run holds the slice.
        """
        run_id = uuid.uuid4().hex
        self._take(run_id, job, as_of)
        started = time.monotonic()
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(run_id, stop), daemon=True)
        beat.start()
        status, error = "failed", None
        try:
            yield run_id
            status = "done"
        except RecsysError as problem:
            error = str(problem)
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}"
            raise
        finally:
            stop.set()
            beat.join()
            self._end(run_id, status, error, time.monotonic() - started, recorder)

    def up_to_date(self, job: Job, as_of: datetime, *, feeders: Collection[str] | None = None) -> bool:
        """Tell whether a job is done for an instant under this config and code, and nothing it reads was written since.

        A write counts when another run, for the same instant or by a job that knows no instant (`clean`, `index`),
        put rows into a table that the job reads after the job had started. Some tables hold the work of several jobs
        (`models`): `feeders` names those that come before this one; None means any other. Nor is a job done whose
        slice a later run of its own took: under another config or code, or one that did not come to its end.
        """
        if not self.warehouse.exists(tables.RUNS):
            return False
        runs = self._runs(as_of)
        done = [run for run in runs if run["status"] == "done"]
        own = [run for run in runs if run["job"] == job.name and (job.inputs is not None or run["same_instant"])]
        now = (job.state(self.spark, self.config), recsys.__version__, "done")
        mine = [run for run in own if (run["config_hash"], run["code_version"], run["status"]) == now]
        if not mine:
            return False
        latest = max(mine, key=lambda run: run["started"])
        if job.inputs is None and max(run["started"] for run in own) > latest["started"]:
            return False
        reads = {table.name for table in job.reads}
        fed = any(
            run["finished"] > latest["started"] and reads & {name for name, rows in run["rows"].items() if rows}
            for run in done
            if run["job"] != job.name and (feeders is None or run["job"] in feeders)
        )
        return not fed and all(self.warehouse.exists(tables.BY_NAME[name]) for name in latest["writes"])

    def last_config(self, job: str, *, dataset: str, wrote: Table) -> dict[str, Any] | None:
        """Return the config of the newest run of a job that put rows of a dataset into a table; None without one."""
        if not self.warehouse.exists(tables.RUNS):
            return None
        runs = self.warehouse.read(tables.RUNS, where={"job": job, "dataset": dataset})
        wrote_some = F.coalesce(F.col("rows")[wrote.name], F.lit(0)) > 0
        newest = runs.where(wrote_some).orderBy(F.desc("started_at"), "run_id").select("config").first()
        found: dict[str, Any] | None = json.loads(newest["config"]) if newest else None
        return found

    def _runs(self, as_of: datetime) -> list[Row]:
        """Runs for an instant, and those of jobs that know none: a handful, however old the warehouse is."""
        runs = self.warehouse.delta(tables.RUNS).toDF()
        same_instant = F.col("as_of") == F.lit(as_of)
        return (
            runs.where(same_instant | F.col("job").isin("clean", "index"))
            .select(
                *("job", "config_hash", "code_version", "status", "rows", "writes"),
                same_instant.alias("same_instant"),
                F.unix_micros("started_at").alias("started"),
                F.unix_micros("finished_at").alias("finished"),
            )
            .collect()
        )

    def _take(self, run_id: str, job: Job, as_of: datetime) -> None:
        held = f"{job.name}@{stamp(as_of)}"
        row = self._row(run_id, job, held, as_of)
        if not self.warehouse.exists(tables.RUNS):
            self.warehouse.create(tables.RUNS)
        for _ in self._attempts():
            try:
                if insert_if_free(self.warehouse, row, held):
                    return
            except Exception as error:
                if not is_conflict(error):
                    raise
                continue
            holders = self._holders(held)
            if any(holder["run_id"] == run_id for holder in holders):
                return
            for holder in holders:
                if self._alive(holder):
                    raise SliceHeldError(_held_by(holder, job.name, as_of))
                self._retrying(partial(mark_lost, self.warehouse, holder["run_id"]))
        raise SliceHeldError(f"{held}: other runs kept taking the slice; run again in a minute")

    def _holders(self, held: str) -> list[Row]:
        running = self.warehouse.delta(tables.RUNS).toDF()
        running = running.where((F.col("slice") == held) & (F.col("status") == "running"))
        # As seconds: a collected timestamp would come in the driver's own zone.
        return running.select(
            "run_id",
            "host",
            "process",
            F.unix_timestamp("started_at").alias("started"),
            F.unix_timestamp("heartbeat_at").alias("beat"),
        ).collect()

    def _alive(self, holder: Row) -> bool:
        if holder["host"] == socket.gethostname():
            pid, _, born = holder["process"].partition("@")
            try:
                return bool(f"{psutil.Process(int(pid)).create_time():.2f}" == born)
            except (psutil.Error, ValueError):
                return False
        return bool(time.time() - holder["beat"] < self.config.runner.lease_minutes * 60)

    def _row(self, run_id: str, job: Job, held: str, as_of: datetime) -> DataFrame:
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "run_id": run_id,
            "job": job.name,
            "slice": held,
            "as_of": as_of,
            "dataset": self.config.dataset.name if self.config.dataset else None,
            "config_hash": job.state(self.spark, self.config),
            "code_version": recsys.__version__,
            "status": "running",
            "host": socket.gethostname(),
            "process": f"{os.getpid()}@{psutil.Process().create_time():.2f}",
            "started_at": now,
            "heartbeat_at": now,
            "reads": {},
            "writes": {},
            "rows": {},
            "steps": [],
            "config": config_json(self.config),
        }
        columns = tuple(values.get(name) for name in tables.RUNS.column_names)
        return self.spark.createDataFrame([columns], schema_of(tables.RUNS))

    def _beat(self, run_id: str, stop: threading.Event) -> None:
        while not stop.wait(self.config.runner.lease_minutes * 60 / 3):
            self._retrying(lambda: finish(self.warehouse, run_id, {"heartbeat_at": datetime.now(UTC)}))

    def _end(self, run_id: str, status: str, error: str | None, seconds: float, recorder: Recorder) -> None:
        values = {
            "status": status,
            "error": error,
            "finished_at": datetime.now(UTC),
            "heartbeat_at": datetime.now(UTC),
            "seconds": round(seconds, 3),
            "reads": recorder.reads,
            "writes": recorder.writes,
            "rows": recorder.rows,
            "steps": [
                {"name": step.name, "seconds": round(step.seconds, 3), "rows": step.rows} for step in recorder.steps
            ],
        }
        self._retrying(lambda: finish(self.warehouse, run_id, values))

    def _retrying(self, action: Callable[[], None]) -> None:
        for _ in self._attempts():
            try:
                return action()
            except Exception as error:
                if not is_conflict(error):
                    raise
        return None

    @staticmethod
    def _attempts() -> Iterator[int]:
        """Yield attempts, with a pause that grows and differs between rivals."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(random.uniform(0, 0.2 * 2**attempt))
            yield attempt


def _held_by(holder: Row, job: str, as_of: datetime) -> str:
    since = datetime.fromtimestamp(holder["started"], UTC)
    return (
        f"{job} for {as_of:%Y-%m-%dT%H:%M:%SZ} is held by run {holder['run_id']} on {holder['host']} "
        f"(process {holder['process'].split('@')[0]}, since {since:%Y-%m-%d %H:%M} UTC); "
        "wait for it, or stop that process and run again"
    )
