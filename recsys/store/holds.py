"""One run's hold on the slices that it writes: its row of the `runs` table, from `running` to how it ended.

The row is inserted by a MERGE that finds no other living holder of any of the slices, and Delta lets only one of two
such merges through. A holder is dead when its process is gone (same host) or its heartbeat is older than the lease
(another host). It may only have been stalled, so a hold comes with a fence: a number above that of every earlier
holder, which each commit of the run carries (`recsys.store.commit`).
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import psutil
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from recsys import data
from recsys.config import stamp
from recsys.data import Table, TablePart
from recsys.data.sql import literal
from recsys.errors import MissingData, SliceHeldError
from recsys.progress import note
from recsys.store.catalog import table_named
from recsys.store.commit import Stamp, create_table, evolve_table, raise_fence
from recsys.store.contract import schema_of
from recsys.store.retrying import attempts, is_conflict, retrying
from recsys.store.state import TableState
from recsys.store.tables import Tables

WHOLE: Final = "*"
"""The slice of a run that no other run may work beside."""
_COMMITS = 1 << 8
"""Most commits of one run into one slice."""
_VERSIONS = 1 << 24
"""Most versions of one `runs` table."""


def slices_of(writes: Iterable[Table | TablePart], *, as_of: datetime, source: str | None) -> list[str]:
    """Name the slices that a run may write: of each table, the part that no other run may write beside it.

    Examples
    --------
    >>> slices_of([data.ITEM_INDEX, data.RANKED], as_of=datetime(2024, 5, 8, tzinfo=UTC), source=None)
    ['item_index', 'ranked/run_date=2024-05-08']
    """
    return list(dict.fromkeys(held_slice(touched, as_of=as_of, source=source) for touched in writes))


def held_slice(touched: Table | TablePart, *, as_of: datetime, source: str | None) -> str:
    """Name the slice of one table, by the value of the column that keeps its runs apart."""
    table, part = (touched.table, f".{touched.part}") if isinstance(touched, TablePart) else (touched, "")
    values = {"source": source, "run_date": f"{as_of:%Y-%m-%d}", "as_of": stamp(as_of)}
    value = values[table.held_by] if table.held_by else None
    return f"{table.name}{part}" + ("" if value is None else f"/{table.held_by}={value}")


class Hold:
    """The hold of one run on its slices.

    Parameters
    ----------
    tables : Tables
        Where the `runs` table is.
    values : mapping of str to object
        What the run's row says at its start: `run_id`, `job`, `slice`, `slices`, `as_of` and other columns of `runs`.
    lease_minutes : float
        A holder on another host whose heartbeat is older than this is taken as dead.

    Attributes
    ----------
    run_id : str
        The run's id.
    fence : int
        Above that of every earlier holder of one of the slices; 0 until they are taken.
    """

    def __init__(self, tables: Tables, values: Mapping[str, Any], *, lease_minutes: float) -> None:
        now = datetime.now(UTC)
        self._tables = tables
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
            "files": [],
            **values,
        }
        self.run_id: str = values["run_id"]
        self._slices: Sequence[str] = values["slices"]
        self.fence = 0
        self._known = -1

    def take(self) -> None:
        """Insert the run's row, once no other living run holds one of the slices.

        Raises
        ------
        SliceHeldError
            Naming the holder, if there is one, or if rivals kept winning.
        """
        state = self._tables.newest(data.RUNS)
        if state is None:
            create_table(self._tables, data.RUNS)
        else:
            evolve_table(self._tables, data.RUNS, state)
        columns = tuple(self._values.get(name) for name in data.RUNS.column_names)
        row = self._tables.spark.createDataFrame([columns], schema_of(data.RUNS))
        for _ in attempts():
            before = self._newest()
            try:
                inserted = _insert_if_free(self._tables, row, self._slices)
            except Exception as error:
                if not is_conflict(error):
                    raise
                continue
            now = self._newest()
            # The next version is the one that has the row; after others' commits, the table must say.
            if (inserted and now.version == before.version + 1) or self._is_holder(now):
                self._known, self.fence = now.version, _fence(now)
                return
            for holder in self._holders(now):
                if self._alive(holder):
                    raise SliceHeldError(self._held_by(holder))
                self._bury(holder)
        raise SliceHeldError(f"{', '.join(self._slices)}: other runs kept taking them; run again in a minute")

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Write a heartbeat three times per lease, from a thread, until the block ends; a failed one is not the end."""
        # Not in the run's session: what it commits meanwhile is stamped there, and a sign of life would be as well.
        stop, tables = threading.Event(), self._tables.apart()

        def beat() -> None:
            while not stop.wait(self._lease / 3):
                try:
                    now = {"heartbeat_at": datetime.now(UTC)}
                    retrying(partial(_finish, tables, self.run_id, now))
                except Exception as error:
                    note(f"a sign of life of run {self.run_id} could not be written ({type(error).__name__})")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def require(self) -> None:
        """Check that the run still holds its slices.

        Raises
        ------
        SliceHeldError
            If another run took this one as dead and holds them now, or held them since.
        """
        now = self._newest()
        if now.version != self._known and not self._is_holder(now):
            raise SliceHeldError(
                f"{self._values['slice']}: another run took this one (run {self.run_id}) as dead, for it gave no sign "
                "of life within runner.lease_minutes, and holds what it writes; run again if that one failed"
            )

    def number(self, position: int) -> int:
        """The number of the commit at a position: above those of earlier holders and of the run's earlier commits."""
        return self.fence * _COMMITS + position

    def end(self, values: Mapping[str, Any]) -> None:
        """Let go of the slices: write how the run ended into its row."""
        now = datetime.now(UTC)
        ended = {"finished_at": now, "heartbeat_at": now, **values}
        retrying(partial(_finish, self._tables, self.run_id, ended))

    def _newest(self) -> TableState:
        state = self._tables.newest(data.RUNS)
        if state is None:
            raise MissingData("table runs is gone", table=data.RUNS.name)
        return state

    def _is_holder(self, state: TableState) -> bool:
        """Whether the run's row is there and running at a version of `runs`."""
        runs = self._tables.at(data.RUNS, state)
        return not runs.where((F.col("run_id") == self.run_id) & (F.col("status") == "running")).isEmpty()

    def _holders(self, state: TableState) -> list[Row]:
        running = self._tables.at(data.RUNS, state).where(F.col("status") == "running")
        # In seconds: a collected timestamp would come in the driver's own time zone.
        return (
            running.where(_clash("slices", self._slices))
            .select(
                *("run_id", "host", "process", "slices"),
                F.unix_timestamp("started_at").alias("started"),
                F.unix_timestamp("heartbeat_at").alias("beat"),
            )
            .collect()
        )

    def _bury(self, holder: Row) -> None:
        """Shut a dead holder out of its tables, for it may only have been stalled; then free its slices."""
        number = _fence(self._newest()) * _COMMITS
        for held in holder["slices"]:
            table = table_named(held.partition("/")[0].partition(".")[0])
            if table is not None:
                raise_fence(self._tables, table, Stamp(held, number, {}))
        retrying(partial(_finish, self._tables, holder["run_id"], _lost()))

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
            f"{self._values['job']} for {self._values['as_of']:%Y-%m-%dT%H:%M:%SZ} writes what run {holder['run_id']} "
            f"on {holder['host']} holds (process {holder['process'].split('@')[0]}, since {since:%Y-%m-%d %H:%M} UTC); "
            "wait for it, or stop that process and run again"
        )


def _lost() -> dict[str, Any]:
    return {"status": "lost", "finished_at": datetime.now(UTC), "error": "the process died"}


def _fence(state: TableState) -> int:
    """A number for a version of `runs`; the second in which the table was made comes first, lest it be made again."""
    return (state.created // 1000 % (1 << 31)) * _VERSIONS + state.version


def _clash(column: str, slices: Sequence[str]) -> str:
    """Write the condition that another run holds one of some slices, or the whole warehouse."""
    if WHOLE in slices:
        return "true"
    return f"arrays_overlap({column}, array({', '.join(literal(name) for name in (*slices, WHOLE))}))"


def _insert_if_free(tables: Tables, row: DataFrame, slices: Sequence[str]) -> bool:
    """Insert a run's row unless a running row for a slice is there (a rival's insert makes this one conflict).

    Returns
    -------
    bool
        Whether the row is known to have been inserted. Before version 4, Delta does not say: False then.
    """
    held = f"t.status = 'running' AND {_clash('t.slices', slices)}"
    merge = tables.delta(data.RUNS).alias("t").merge(row.alias("s"), held)
    counts: DataFrame | None = merge.whenNotMatchedInsertAll().execute()
    merged = counts.first() if counts is not None else None
    return merged is not None and merged["num_inserted_rows"] == 1


def _finish(tables: Tables, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run's row, while it is running."""
    new: dict[str, str | Column] = {
        name: _constant(value, data.RUNS.column(name).type) for name, value in values.items()
    }
    tables.delta(data.RUNS).update(f"run_id = {literal(run_id)} AND status = 'running'", new)


def _constant(value: Any, kind: str) -> Column:
    """A value of any type as a constant; maps, structs and arrays by way of JSON."""
    if isinstance(value, (dict, list)):
        return F.from_json(F.lit(json.dumps(value)), kind)
    return F.lit(value).cast(kind)
