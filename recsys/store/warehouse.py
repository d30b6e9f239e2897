"""The warehouse: the tables of `recsys.data` and of the retrievers, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys.data import RUNS, Table
from recsys.data.sql import condition
from recsys.environment import WarehouseSettings
from recsys.progress import step
from recsys.store.commit import Written, create_table, prepared
from recsys.store.state import TableState
from recsys.store.tables import Tables
from recsys.store.writes import Clear, Merge, Replace, Write


class Warehouse(Tables):
    """The tables as they are now; each write is a commit of its own.

    Jobs don't write in this way: they return what to write, and the runner commits it under their hold
    (`recsys.pipeline.commit`).
    """

    def create(self, table: Table) -> None:
        """Create a table, empty, if it does not exist."""
        create_table(self, table)

    def write(self, write: Write) -> Written:
        """Check what is to be written, and commit it.

        Raises
        ------
        DataError
            If the key is not unique, a required column is null, or a check of the table fails.
        """
        with prepared(self, write) as ready:
            return ready.commit()

    def replace(self, table: Table, frame: DataFrame, *, where: Mapping[str, Any]) -> Written:
        """Replace exactly one slice of a table; see :class:`Replace`."""
        return self.write(Replace(table, frame, where))

    def merge(
        self,
        table: Table,
        frame: DataFrame,
        *,
        update: bool,
        fill: Sequence[str] = (),
        since: datetime | None = None,
    ) -> Written:
        """Merge rows into a table by its key; see :class:`Merge`."""
        return self.write(Merge(table, frame, update=update, fill=fill, since=since))

    def clear(self, table: Table, *, where: Mapping[str, Any]) -> None:
        """Remove one slice of a table."""
        self.write(Clear(table, where))

    def optimize(self, table: Table, *, where: Mapping[str, Any] | None = None) -> None:
        """Compact the small files of a slice."""
        with step(f"optimize {table.name}"):
            builder = self.delta(table).optimize()
            if where:
                builder = builder.where(condition(where))
            builder.executeCompaction()


class PinnedWarehouse(Warehouse):
    """The tables as one run sees them: each is asked for once, and read at that version from then on.

    Attributes
    ----------
    reads : dict of str to int
        Table name to the Delta version that was read.
    """

    def __init__(self, spark: SparkSession, config: WarehouseSettings) -> None:
        super().__init__(spark, config)
        self.reads: dict[str, int] = {}
        self._states: dict[str, TableState | None] = {}

    def state(self, table: Table) -> TableState | None:
        """The state of the table when the run first asked for it, or when it last wrote it."""
        if table.name not in self._states:
            self._states[table.name] = self.newest(table)
        return self._states[table.name]

    def pin(self, table: Table, state: TableState | None) -> None:
        """Read a table at another state from now on: the one that the run has written."""
        self._states[table.name] = state

    def _was_read(self, table: Table, state: TableState) -> None:
        # Every run writes its row of `runs`: what is asked of it decides nothing that is made.
        if table is not RUNS:
            self.reads.setdefault(table.name, state.version)
