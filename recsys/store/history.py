"""What was committed into a table since a version, and by which run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyspark.sql import Row
from pyspark.sql import functions as F

from recsys.data import Table
from recsys.store.tables import Tables

_ROWS: Final = (
    "numOutputRows",
    "numRemovedFiles",
    "numDeletedRows",
    "numUpdatedRows",
    "numTargetRowsInserted",
    "numTargetRowsUpdated",
    "numTargetRowsDeleted",
)
"""Of these metrics of an operation, one is above zero if it changed rows; a MERGE copies rows that stay the same."""
_SAME_ROWS: Final = ("OPTIMIZE", "VACUUM", "SET", "UNSET", "ADD", "CHANGE", "UPGRADE", "REORG", "FSCK", "CREATE TABLE")
"""Beginnings of the operations that leave rows as they are."""


@dataclass(frozen=True)
class Commit:
    """One commit of a table.

    Attributes
    ----------
    version : int
        The Delta version that it made.
    changed : bool
        Whether it may have changed rows.
    run_id, job, as_of : str
        The run that made it; empty where no job of the project did.
    """

    version: int
    changed: bool
    run_id: str = ""
    job: str = ""
    as_of: str = ""


def told(*, run_id: str, job: str, as_of: str) -> dict[str, str]:
    """What a run's commits say of themselves in the table's history."""
    return {"run_id": run_id, "job": job, "as_of": as_of}


class History:
    """The commits of a warehouse's tables; what has been asked once is not asked again."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._found: dict[str, dict[int, Commit]] = {}

    def since(self, table: Table, version: int) -> list[Commit] | None:
        """Return what changed a table's rows after a version; None if the table, or that part of its log, is gone."""
        state = self._tables.newest(table)
        if state is None or state.version < version:
            return None
        known, wanted = self._found.setdefault(table.name, {}), range(version + 1, state.version + 1)
        if any(number not in known for number in wanted):
            newest = self._tables.delta(table).history(len(wanted))
            rows = newest.select("version", "operation", "operationMetrics", F.col("userMetadata").alias("told"))
            known.update({row["version"]: _commit(row) for row in rows.collect()})
        if any(number not in known for number in wanted):
            return None
        return [known[number] for number in wanted if known[number].changed]


def _commit(row: Row) -> Commit:
    try:
        run = json.loads(row["told"] or "{}")
    except ValueError:
        run = {}
    by = {name: str(run.get(name, "")) for name in ("run_id", "job", "as_of")} if isinstance(run, dict) else {}
    return Commit(row["version"], changed_rows(row["operation"], row["operationMetrics"] or {}), **by)


def changed_rows(operation: str, metrics: Mapping[str, str]) -> bool:
    """Tell from the name and the metrics of an operation whether it may have changed rows.

    Examples
    --------
    >>> changed_rows("OPTIMIZE", {"numRemovedFiles": "8"}), changed_rows("RESTORE", {})
    (False, True)
    >>> changed_rows("MERGE", {"numTargetRowsInserted": "0", "numOutputRows": "0"})
    False
    >>> changed_rows("WRITE", {"numFiles": "1", "numRemovedFiles": "0"})
    True
    """
    if operation.startswith(_SAME_ROWS) and "AS SELECT" not in operation:
        return False
    counted = [int(metrics[name]) for name in _ROWS if name in metrics]
    if "numOutputRows" not in metrics and "numFiles" in metrics:
        # Delta counts no rows where it replaces what a predicate on data finds; a file that was added has some.
        counted.append(int(metrics["numFiles"]))
    if operation == "MERGE":
        counted = [int(count) for name, count in metrics.items() if name in _ROWS and name.startswith("numTarget")]
    return not counted or any(counted)
