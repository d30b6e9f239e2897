"""What a table is: columns, key, partitions, checks and retention, as values that need no session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from recsys.data.sql import quote

CONTRACT_VERSION: Final = 3


@dataclass(frozen=True)
class Column:
    """One column: its name, its Spark DDL type, what it means, and whether it may be null."""

    name: str
    type: str
    comment: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Attributes
    ----------
    key : tuple of str
        Columns that identify a row.
    partitions : tuple of str
        Partition columns. Empty for unpartitioned tables and for those with a `period_column`.
    period_column : str, optional
        A date column by which the table is partitioned at a grain chosen by config (`day`, `month`, `year`).
    time_column : str, optional
        The column that `as_of` bounds from above, exclusively.
    since_column : str, optional
        For a history of entities: when the entity itself began. A source without times of states gives the newest
        profile from the start, and somebody who signed up later must still be unknown until then.
    known : dict of str to str
        Columns that may be filled later than their row, each with the column that says when it was: a read before some
        instant shows null for what became known at or after it.
    checks : dict of str to str
        Delta CHECK constraints, by name.
    retention_days : int, optional
        How long rows are kept; None for as long as the warehouse lives.
    volatile : tuple of str
        Columns that tell when or by which run a row was written; two equal runs may differ in these alone.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    period_column: str | None = None
    time_column: str | None = None
    since_column: str | None = None
    known: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    retention_days: int | None = None
    volatile: tuple[str, ...] = ()

    @property
    def column_names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    @property
    def held_by(self) -> str | None:
        """What keeps runs apart that write the table: `run_date`, `as_of` or `source`; None: one run at a time."""
        if "run_date" in self.partitions:
            return "run_date"
        if {"as_of", "as_of_key", "model_version"} & {*self.partitions, *self.key}:
            return "as_of"
        return "source" if "source" in self.column_names else None

    def ddl(self) -> str:
        """Return the columns as a Spark DDL string, `name type NOT NULL, …`."""
        return ", ".join(f"{quote(c.name)} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    def column(self, name: str) -> Column:
        """Return one column by name.

        Raises
        ------
        KeyError
            If the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    def of(self, part: str) -> TablePart:
        """Return a part of a table that several jobs fill, such as the models of one kind."""
        return TablePart(self, part)


@dataclass(frozen=True)
class TablePart:
    """A named part of a table that several jobs fill: for the order of jobs alone."""

    table: Table
    part: str

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.table.name
