"""Writes into tables: made and checked first, then committed one by one.

A commit that carries a run's stamp is written with Delta's `txnAppId` and `txnVersion`: the slice, and a number that
only grows from holder to holder of it. Delta leaves out a commit whose number is not above the last one, so a run that
lost its slice can't write into it any more; the first rows of a table whose slices are replaced as a whole do without
the number. The stamp also says in the table's history which run wrote what.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from delta.tables import DeltaTable
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from recsys.data import Table
from recsys.data.sql import condition
from recsys.errors import EnvironmentProblem, SliceHeldError
from recsys.progress import step
from recsys.store.contract import Size, conform, require_valid
from recsys.store.ddl import choose_period, create, evolve
from recsys.store.merging import merging, rows_merged
from recsys.store.retrying import retrying
from recsys.store.session import set_within
from recsys.store.state import TableState
from recsys.store.tables import Tables
from recsys.store.writes import Clear, Merge, Replace, Write

_APP, _NUMBER, _TOLD = (
    "spark.databricks.delta.write.txnAppId",
    "spark.databricks.delta.write.txnVersion",
    "spark.databricks.delta.commitInfo.userMetadata",
)


_OPTIMIZE_WRITE = "spark.databricks.delta.optimizeWrite"
_GATHER = f"{_OPTIMIZE_WRITE}.enabled"
_FILE_SIZE = "256m"
"""Of a file's rows as they are shuffled; as Parquet they take about half."""
_COMMITTING = "spark.recsys.committing"
"""Set in a session while a run commits in it."""


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes
    ----------
    rows : int
        Rows written.
    state : TableState, optional
        The table after it; None if a table to clear does not exist.
    """

    rows: int
    state: TableState | None


@dataclass(frozen=True)
class Stamp:
    """What a commit says of itself.

    Attributes
    ----------
    held : str
        Name of the slice that the run holds.
    number : int
        Above that of every earlier commit into the slice.
    told : dict
        What the table's history keeps as `userMetadata`.
    """

    held: str
    number: int
    told: dict[str, str]


@dataclass(frozen=True)
class Prepared:
    """A write that can be committed: its rows are there and hold what the table's contract asks for.

    Attributes
    ----------
    into_new : bool
        Whether the table was made for it.
    """

    tables: Tables
    write: Write
    frame: DataFrame | None = None
    rows: int = 0
    into_new: bool = False

    def commit(self, stamp: Stamp | None = None) -> Written:
        """Commit, again if another writer's commit came in between.

        Raises
        ------
        SliceHeldError
            If a later run has taken the slice.
        """
        table = self.write.table
        before = self.tables.newest(table)
        if before is None:
            return Written(0, None)
        appends = stamp is not None and self.into_new and table.held_by != "source"
        # Whatever an earlier holder appends to a new slice, its successor replaces. Numbers of an index would stay.
        numbered = not (appends and table.held_by)
        spark = self.tables.spark
        with (
            step(f"{_VERBS[type(self.write)]} {table.name}") as this,
            _few_files(spark),
            stamping(spark, stamp, numbered),
        ):
            rows = retrying(lambda: _committed(self, since=before.version, appends=appends))
            after = self.tables.newest(table)
            must_change = not _clears(self)
            if stamp and must_change and after is not None and after.version == before.version:
                raise SliceHeldError(f"{stamp.held}: a later run has taken this slice; run again if that one failed")
            this.rows = rows
        return Written(rows, after)


_VERBS: dict[type, str] = {Replace: "write", Merge: "merge into", Clear: "clear"}


@contextmanager
def prepared(tables: Tables, write: Write) -> Iterator[Prepared]:
    """Compute the rows of a write once, check them, and make the table if there is none; keep them within the block.

    Raises
    ------
    DataError
        If the key is not unique, a required column is null, a check of the table fails, or the stored table has
        another contract.
    """
    if isinstance(write, Clear):
        yield Prepared(tables, write)
        return
    held = conform(write.frame, write.table).persist(StorageLevel.MEMORY_AND_DISK)
    removed = None
    try:
        if isinstance(write, Merge) and write.remove is not None:
            removed = write.remove.persist(StorageLevel.MEMORY_AND_DISK)
            with step(f"find what leaves {write.table.name}") as this:
                this.rows = removed.count()
            write = replace(write, remove=removed)
        with step(f"check {write.table.name}") as this:
            size = require_valid(held, write.table)
            this.rows = size.rows
            made = _ensure(tables, write.table, size)
        yield Prepared(tables, write, held, size.rows, into_new=made)
    finally:
        held.unpersist()
        if removed is not None:
            removed.unpersist()


def create_table(tables: Tables, table: Table, *, period: str = "month") -> bool:
    """Create a table, empty, if it does not exist; two programs may try at once.

    Returns
    -------
    bool
        Whether there was none.
    """
    path = None if tables.in_catalog else tables.directory(table)

    def attempt() -> bool:
        if tables.newest(table) is not None:
            return False
        create(tables.spark, table, tables.location(table), period, path=path)
        return True

    return retrying(attempt)


def evolve_table(tables: Tables, table: Table, state: TableState) -> None:
    """Add to a table what its contract has and it lacks."""
    retrying(lambda: evolve(tables.spark, table, tables.location(table), tables.newest(table) or state))


def raise_fence(tables: Tables, table: Table, stamp: Stamp) -> None:
    """Commit nothing but the stamp's number, so that no earlier holder of the slice can commit after it."""
    if table.period_column is None:
        # A table that is not there yet could be made by the earlier holder, its commit the first.
        create_table(tables, table)
    state = tables.newest(table)
    if state is None:
        return
    empty = tables.at(table, state).limit(0)
    with stamping(tables.spark, stamp):
        retrying(lambda: _save(tables, table, empty.write.format("delta").mode("append")))


def _ensure(tables: Tables, table: Table, size: Size) -> bool:
    state = tables.state(table)
    if state is not None:
        evolve_table(tables, table, state)
        return False
    period = choose_period(table, tables.config.period, rows=size.rows, days=size.days)
    return create_table(tables, table, period=period)


def _clears(one: Prepared) -> bool:
    """Whether nothing comes in the place of a slice: Delta then commits only if there was something in it."""
    return isinstance(one.write, Clear) or (isinstance(one.write, Replace) and not one.rows and bool(one.write.where))


def _committed(one: Prepared, *, since: int, appends: bool) -> int:
    write, delta = one.write, one.tables.delta(one.write.table)
    if not isinstance(write, Merge) and _clears(one):
        delta.delete(condition(write.where))
        return 0
    assert one.frame is not None
    if appends:
        # The run alone writes the slice, and nothing can be in it: no need to look for what would be replaced or
        # matched. Only events of several sources may share keys.
        _save(one.tables, write.table, one.frame.write.format("delta").mode("append"))
        return one.rows
    if isinstance(write, Merge):
        return _merged(one.tables, delta, write, one.frame, since=since)
    writer = one.frame.write.format("delta").mode("overwrite")
    if write.where:
        writer = writer.option("replaceWhere", condition(write.where))
    _save(one.tables, write.table, writer)
    return one.rows


def _merged(tables: Tables, delta: DeltaTable, write: Merge, frame: DataFrame, *, since: int) -> int:
    state = tables.newest(write.table)
    merge = merging(delta, write, frame, columns=list(state.columns) if state else [])
    return rows_merged(delta, merge.execute(), since=since)


def _save(tables: Tables, table: Table, writer: Any) -> None:
    if tables.in_catalog:
        writer.saveAsTable(tables.location(table))
    else:
        writer.save(tables.directory(table))


@contextmanager
def _few_files(spark: SparkSession) -> Iterator[None]:
    """Let Delta gather the rows of a partition before it writes them, unless the session says otherwise.

    Without it each task writes a file into each partition that it has rows for: hundreds of them for a few rows.
    """
    mine = {_GATHER: "true", f"{_OPTIMIZE_WRITE}.binSize": _FILE_SIZE}
    with set_within(spark, mine if spark.conf.get(_GATHER, None) is None else {}, required=False):
        yield


@contextmanager
def stamping(spark: SparkSession, stamp: Stamp | None, numbered: bool = True) -> Iterator[None]:
    """Let every commit of the session within the block carry the stamp; MERGE and DELETE take it in no other way."""
    if stamp is None:
        yield
        return
    if spark.conf.get(_COMMITTING, None) is not None:
        raise EnvironmentProblem(
            "another run commits in this session at the same time; give each a session of its own: spark.newSession()"
        )
    values = {_COMMITTING: stamp.held, _TOLD: json.dumps(stamp.told)}
    if numbered:
        values |= {_APP: stamp.held, _NUMBER: str(stamp.number)}
    with set_within(spark, values):
        yield
