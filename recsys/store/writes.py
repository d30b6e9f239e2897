"""What a job asks to be written: values that the runner checks and commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame

from recsys.data import Table


@dataclass(frozen=True)
class Replace:
    """Replace exactly one slice of a table.

    Attributes
    ----------
    where : mapping
        Column to value (or list of values) that names the slice; every row of `frame` must be in it. Empty: the whole
        table.
    """

    table: Table
    frame: DataFrame
    where: Mapping[str, Any]


@dataclass(frozen=True)
class Merge:
    """Merge rows into a table by its key: new keys are inserted, known ones updated, filled in or left alone.

    Attributes
    ----------
    update : bool
        Whether rows with a known key replace the stored ones.
    fill : sequence of str
        Columns that a row with a known key fills where the stored row has null.
    flags : sequence of str
        Boolean columns without nulls that a row with a known key sets to what it has.
    since : datetime, optional
        Only stored rows from this instant's period on (day, month or year, as the table is partitioned) are searched
        for the key. Correct only if no row of `frame` has a key that is stored earlier.
    remove : DataFrame, optional
        Keys of stored rows that go in the same commit: unique, and none of them in `frame`. Null equals null in them.
    """

    table: Table
    frame: DataFrame
    update: bool = False
    fill: Sequence[str] = ()
    flags: Sequence[str] = ()
    since: datetime | None = None
    remove: DataFrame | None = None


@dataclass(frozen=True)
class Clear:
    """Remove one slice of a table; a table that does not exist stays so."""

    table: Table
    where: Mapping[str, Any]


Write = Replace | Merge | Clear


@dataclass(frozen=True)
class Writes:
    """What one run of a job writes.

    Attributes
    ----------
    tables : sequence of Write
        In the order in which they are committed; all of them are made and checked before the first one is.
    files : sequence of str
        Files beside the tables, relative to the warehouse, without which the job is not done.
    afterwards : callable, optional
        Makes what follows from the committed tables: views, snapshots, reports.
    nothing : str, optional
        Why there was nothing to make; the run ends as one that had nothing to do, after its writes.
    """

    tables: Sequence[Write] = ()
    files: Sequence[str] = ()
    afterwards: Callable[[], None] | None = field(default=None)
    nothing: str | None = None
