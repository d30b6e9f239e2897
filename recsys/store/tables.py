"""Names and reads the tables of a warehouse, in path mode or catalog mode, behind the same few methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.data import Column as Declared
from recsys.data import Table
from recsys.data.sql import condition, quote
from recsys.environment import WarehouseSettings
from recsys.errors import MissingData
from recsys.store.catalog import table_named
from recsys.store.contract import schema_of
from recsys.store.ddl import require_current
from recsys.store.instants import between, known_before, states_at
from recsys.store.state import TableState, state_at_path, state_in_catalog


class Tables:
    """The project's tables under one directory (path mode) or one schema of a catalog (catalog mode).

    Parameters
    ----------
    spark : SparkSession
        A session with Delta.
    config : WarehouseSettings
        Where the tables live.
    """

    def __init__(self, spark: SparkSession, config: WarehouseSettings) -> None:
        self.spark = spark
        self.config = config
        self.root = config.path if "://" in config.path else str(Path(config.path).expanduser().absolute())

    def apart(self) -> Self:
        """The same tables in a session of its own, whose settings nobody else changes."""
        return type(self)(self.spark.newSession(), self.config)

    # -- names

    @property
    def in_catalog(self) -> bool:
        """Whether a catalog knows the tables."""
        return self.config.database_name is not None

    def location(self, table: Table) -> str:
        """The table as SQL names it: delta.`path` or catalog.schema.table."""
        if not self.in_catalog:
            return f"delta.{quote(self.directory(table))}"
        parts = [part for part in (self.config.catalog, self.config.database_name, table.name) if part]
        return ".".join(quote(part) for part in parts)

    def directory(self, table: Table) -> str:
        """The table's directory in path mode."""
        return f"{self.root}/{table.name}"

    def path(self, *parts: str) -> str:
        """A directory or file beside the tables: bundles, snapshots, reports.

        Never inside a table: VACUUM deletes every file that the table's log does not list.

        Raises
        ------
        ValueError
            If the first part is the name of a table.
        """
        if table_named(parts[0]) is not None:
            raise ValueError(f"{parts[0]} is a table; other files need a directory of their own")
        return "/".join([self.root, *parts])

    def delta(self, table: Table) -> DeltaTable:
        """The table as Delta's own object, for what only `recsys.store` does."""
        if self.in_catalog:
            return DeltaTable.forName(self.spark, self.location(table))
        return DeltaTable.forPath(self.spark, self.directory(table))

    # -- what is there

    def newest(self, table: Table) -> TableState | None:
        """What the table is now, whatever was seen before; None if it does not exist."""
        if self.in_catalog:
            return state_in_catalog(self.spark, self.location(table))
        return state_at_path(self.spark, self.directory(table))

    def state(self, table: Table) -> TableState | None:
        """The state of the table that this object reads: the newest one."""
        return self.newest(table)

    def exists(self, table: Table) -> bool:
        """Whether the table has been created."""
        return self.state(table) is not None

    def version(self, table: Table) -> int:
        """Delta version of the table.

        Raises
        ------
        MissingData
            If it does not exist.
        """
        return self._known(table).version

    # -- reading

    def read(
        self,
        table: Table,
        *,
        before: datetime | None = None,
        since: datetime | None = None,
        valid_at: datetime | None = None,
        where: Mapping[str, Any] | None = None,
        required: bool = True,
    ) -> DataFrame:
        """Read a table, or the part of it that an instant allows.

        Parameters
        ----------
        before, since : datetime, optional
            Bounds on the table's time column: strictly earlier, and at or later. What became known at or after
            `before` (the contract's `known`) is null.
        valid_at : datetime, optional
            For `items` and `users`: the row of each entity that was valid just before that instant, without entities
            that began at or after it (`added_at`, `signed_up_at`). `valid_to`, `is_current`, `seen_at` and `seen_in`
            are left out, because they reveal the future.
        where : mapping, optional
            Column to value (or list of values).
        required : bool
            Whether a missing table is an error; otherwise an empty frame with the table's columns is returned.

        Raises
        ------
        MissingData
            Naming the table, if it is missing and required.
        """
        state = self._known(table) if required else self.state(table)
        if state is None:
            return self.spark.createDataFrame([], schema_of(table))
        self._was_read(table, state)
        frame = self.at(table, state)
        if where:
            frame = frame.where(condition(where))
        if before is not None or since is not None:
            frame = frame.where(between(table, since=since, before=before, columns=frame.columns))
        if valid_at is not None:
            return states_at(table, frame, valid_at)
        rows = frame.select(*(_stored(frame, column) for column in table.columns))
        return rows if before is None else known_before(rows, table, before)

    def rows_before(self, table: Table, instant: datetime, *, version: int | None = None) -> int | None:
        """Count the rows before an instant, now or in an earlier version; None if that version is gone.

        Parameters
        ----------
        table : Table
            One with a time column.
        """
        state = self._known(table)
        try:
            frame = self.at(table, state if version is None else replace(state, version=version))
            return frame.where(between(table, since=None, before=instant, columns=frame.columns)).count()
        except (AnalysisException, Py4JJavaError):
            if version is None:
                raise
            return None  # its log or its files have been cleaned up

    def require_made(self, table: Table, as_of: datetime) -> None:
        """Check that a run date's slice holds something for an instant; two instants of one day share the slice.

        Raises
        ------
        MissingData
            Naming the table, if the slice is empty or was written for another instant.
        """
        if self.read(table, where={"run_date": as_of.date(), "as_of": as_of}, required=False).isEmpty():
            message = f"table {table.name} holds nothing for {as_of:%Y-%m-%dT%H:%M:%SZ}"
            raise MissingData(message, table=table.name, when="for this as_of ")

    def at(self, table: Table, state: TableState) -> DataFrame:
        """The table as it is stored, at one version.

        Raises
        ------
        DataError
            If it was written under another contract.
        """
        require_current(table, state)
        reader = self.spark.read.format("delta").option("versionAsOf", state.version)
        return reader.table(self.location(table)) if self.in_catalog else reader.load(self.directory(table))

    def _known(self, table: Table) -> TableState:
        state = self.state(table)
        if state is None:
            raise MissingData(f"table {table.name} does not exist in {self.root}", table=table.name)
        return state

    def _was_read(self, table: Table, state: TableState) -> None:
        """Take note of a read."""


def _stored(frame: DataFrame, column: Declared) -> Column:
    """A column of a stored table; null where it was added to the contract after the table was last written."""
    if column.name in frame.columns or not column.nullable:
        return F.col(column.name)
    return F.lit(None).cast(column.type).alias(column.name)
