"""One run's hold on a slice: its row of the `runs` table, from `running` to how it ended.

The row is inserted by a MERGE that finds no other living holder, and Delta lets only one of two such merges through, on
any storage. A holder is dead when its process is gone (same host) or its heartbeat is older than the lease (another
host).
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psutil
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from recsys import data
from recsys.data.sql import literal
from recsys.errors import SliceHeldError
from recsys.store.contract import schema_of
from recsys.store.warehouse import Warehouse

_TRIES = 8


class Hold:
    """The hold of one run on its slice.

    Parameters
    ----------
    warehouse : Warehouse
        Where the `runs` table is.
    values : mapping of str to object
        What the run's row says at its start: `run_id`, `job`, `slice`, `as_of` and other columns of `runs`.
    lease_minutes : int
        A holder on another host whose heartbeat is older than this is taken as dead.
    """

    def __init__(self, warehouse: Warehouse, values: Mapping[str, Any], *, lease_minutes: int) -> None:
        now = datetime.now(UTC)
        self._warehouse = warehouse
        self._lease = lease_minutes * 60
        self._values: dict[str, Any] = {
            "status": "running",
            "host": socket.gethostname(),
            "process": f"{os.getpid()}@{psutil.Process().create_time():.2f}",
            "started_at": now,
            "heartbeat_at": now,
            "reads": {},
            "writes": {},
            "rows": {},
            "steps": [],
            **values,
        }
        self._run_id: str = values["run_id"]

    def take(self) -> None:
        """Insert the run's row, once no other living run holds the slice.

        Raises
        ------
        SliceHeldError
            Naming the holder, if there is one, or if rivals kept winning.
        """
        self._warehouse.create(data.RUNS)
        columns = tuple(self._values.get(name) for name in data.RUNS.column_names)
        row = self._warehouse.spark.createDataFrame([columns], schema_of(data.RUNS))
        for _ in _attempts():
            try:
                if _insert_if_free(self._warehouse, row, self._values["slice"]):
                    return
            except Exception as error:
                if not _is_conflict(error):
                    raise
                continue
            holders = self._holders()
            if any(holder["run_id"] == self._run_id for holder in holders):
                return
            for holder in holders:
                if self._alive(holder):
                    raise SliceHeldError(self._held_by(holder))
                _retrying(partial(_finish, self._warehouse, holder["run_id"], _lost()))
        raise SliceHeldError(f"{self._values['slice']}: other runs kept taking the slice; run again in a minute")

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Write a heartbeat three times per lease, from a thread, until the block ends."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._lease / 3):
                self._update({"heartbeat_at": datetime.now(UTC)})

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def end(self, values: Mapping[str, Any]) -> None:
        """Let go of the slice: write how the run ended into its row."""
        now = datetime.now(UTC)
        self._update({"finished_at": now, "heartbeat_at": now, **values})

    def _update(self, values: Mapping[str, Any]) -> None:
        _retrying(partial(_finish, self._warehouse, self._run_id, values))

    def _holders(self) -> list[Row]:
        running = self._warehouse.delta(data.RUNS).toDF()
        running = running.where((F.col("slice") == self._values["slice"]) & (F.col("status") == "running"))
        # In seconds: a collected timestamp would come in the driver's own time zone.
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
        return bool(time.time() - holder["beat"] < self._lease)

    def _held_by(self, holder: Row) -> str:
        since = datetime.fromtimestamp(holder["started"], UTC)
        return (
            f"{self._values['job']} for {self._values['as_of']:%Y-%m-%dT%H:%M:%SZ} is held by run {holder['run_id']} "
            f"on {holder['host']} (process {holder['process'].split('@')[0]}, since {since:%Y-%m-%d %H:%M} UTC); "
            "wait for it, or stop that process and run again"
        )


def _lost() -> dict[str, Any]:
    return {"status": "lost", "finished_at": datetime.now(UTC), "error": "the process died"}


def _insert_if_free(warehouse: Warehouse, row: DataFrame, held: str) -> bool:
    """Insert a run's row unless a running row for the slice is there (a rival's insert makes this one conflict).

    Returns
    -------
    bool
        Whether the row is known to have been inserted. Before version 4, Delta does not say: False then.
    """
    merge = (
        warehouse.delta(data.RUNS)
        .alias("t")
        .merge(row.alias("s"), f"t.slice = {literal(held)} AND t.status = 'running'")
    )
    counts: DataFrame | None = merge.whenNotMatchedInsertAll().execute()
    merged = counts.first() if counts is not None else None
    return merged is not None and merged["num_inserted_rows"] == 1


def _finish(warehouse: Warehouse, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run's row, while it is running."""
    new: dict[str, str | Column] = {
        name: _constant(value, data.RUNS.column(name).type) for name, value in values.items()
    }
    warehouse.delta(data.RUNS).update(f"run_id = {literal(run_id)} AND status = 'running'", new)


def _constant(value: Any, kind: str) -> Column:
    """A value of any type as a constant; maps, structs and arrays by way of JSON."""
    if isinstance(value, (dict, list)):
        return F.from_json(F.lit(json.dumps(value)), kind)
    return F.lit(value).cast(kind)


def _retrying(action: Callable[[], None]) -> None:
    for _ in _attempts():
        try:
            return action()
        except Exception as error:
            if not _is_conflict(error):
                raise
    return None


def _attempts() -> Iterator[int]:
    """Yield attempts, with a pause that grows and differs between rivals."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(random.uniform(0, 0.2 * 2**attempt))
        yield attempt


def _is_conflict(error: Exception) -> bool:
    """Tell whether a write lost against another commit and may be tried again."""
    return "Concurrent" in type(error).__name__ or "io.delta.exceptions.Concurrent" in str(error)
