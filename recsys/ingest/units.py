"""Units of input and what is known of them: a unit is parsed once, unless it changed or is asked for again.

A unit is what can be delivered as a whole and named: a file, or a version of a Delta table. A range of offsets of a
queue would be one too, so nothing here knows what a unit is made of: it has a name and a version, and whoever opens it
gets its own list of units back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import quote as percent_encoded
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data.instants import instant_of
from recsys.ingest.files import InputFile

UNDOING: Final = "undoing"
"""Stands in the ledger as the version of a unit whose rows are being taken back."""


@dataclass(frozen=True)
class Unit:
    """One unit of a source.

    Attributes
    ----------
    name : str
        The file or the table, below the root.
    version : str
        Differs if the content may differ: size and time of a file, version of a table.
    size : int, optional
        Bytes, where that is known.
    file : InputFile, optional
        The file that it is.
    """

    name: str
    version: str
    size: int | None = None
    file: InputFile | None = None


class Reader(Protocol):
    """Where the rows of a source come from, whatever keeps them."""

    def units(self) -> Sequence[Unit]:
        """List all units that there are now, in an order that depends on their names alone."""
        ...

    def open(self, units: Sequence[Unit]) -> DataFrame:
        """Open some of them: the source's own columns with `RAW`, `FILE` and `BROKEN`.

        Raises
        ------
        DataError
            If they lack a column that the mapping reads, or are in another format.
        """
        ...


@dataclass(frozen=True)
class Span:
    """What the ledger says of a unit's rows.

    Attributes
    ----------
    first, last : int, optional
        Earliest and latest time among them, in microseconds since 1970; None if none was kept.
    traced : bool
        Whether they carry the unit's name.
    """

    first: int | None
    last: int | None
    traced: bool = True

    def meets(self, other: Span) -> bool:
        """Whether the two may hold a row of one time; a unit that is not traced may hold any."""
        if not (self.traced and other.traced):
            return True
        if self.first is None or self.last is None or other.first is None or other.last is None:
            return False
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Ledger:
    """What earlier batches of a dataset took in: the rows of `recsys.data.INGESTED`, on the driver.

    Attributes
    ----------
    units : mapping of (str, str) to (str, str)
        Name of the source and the unit, to the unit's version and the rules that it was read under.
    newest : mapping of str to datetime
        Name of the source, to the latest time of a row that it brought (UTC).
    spans : mapping of (str, str) to Span
        What is known of the rows of each unit.
    columns : mapping of str to frozenset of str
        Name of the source, to the columns that its units had.
    """

    units: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    newest: Mapping[str, datetime] = field(default_factory=dict)
    spans: Mapping[tuple[str, str], Span] = field(default_factory=dict)
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, ingested: DataFrame) -> Ledger:
        """Read the ledger of one dataset; it has as many rows as the driver lists files."""
        micros = [F.unix_micros("last_time").alias("at"), F.unix_micros("first_time").alias("first")]
        rows = ingested.select("source_name", "unit", "version", "rules_hash", "traced", "columns", *micros).collect()
        newest: dict[str, int] = {}
        columns: dict[str, frozenset[str]] = {}
        for row in rows:
            if row["columns"] is not None:
                columns[row["source_name"]] = columns.get(row["source_name"], frozenset()) | {*row["columns"]}
            if row["at"] is not None:
                newest[row["source_name"]] = max(newest.get(row["source_name"], row["at"]), row["at"])
        return cls(
            {(row["source_name"], row["unit"]): (row["version"], row["rules_hash"]) for row in rows},
            {source: instant_of(at) for source, at in newest.items()},
            {(row["source_name"], row["unit"]): Span(row["first"], row["at"], bool(row["traced"])) for row in rows},
            columns,
        )

    def sources(self) -> frozenset[str]:
        """Names of the sources that an earlier batch read something of."""
        return frozenset(name for name, _ in self.units)

    def about(self, sources: Collection[str]) -> Ledger:
        """Return what it says of some sources: what was read into a table that is gone has to be read again."""
        return Ledger(
            {key: read for key, read in self.units.items() if key[0] in sources},
            {source: at for source, at in self.newest.items() if source in sources},
            {key: span for key, span in self.spans.items() if key[0] in sources},
            {source: names for source, names in self.columns.items() if source in sources},
        )

    def unread(
        self, source: str, units: Sequence[Unit], *, rules: str | None, again: Collection[str] = ()
    ) -> list[Unit]:
        """Return the units that are new, have changed, or were read under other rules.

        Parameters
        ----------
        rules : str, optional
            What units are read under now; None: under whichever rules they were read, they need not be read again.
        again : collection of str
            Names of units to be read although they are known.
        """

        def known(unit: Unit) -> bool:
            version, earlier = self.units.get((source, unit.name), (None, ""))
            same = version == unit.version and rules in (None, earlier)
            return same and unit.name not in again

        return [unit for unit in units if not known(unit)]


def units_of_files(files: Sequence[InputFile], root: str | None) -> list[Unit]:
    """Return each file as a unit."""
    return [Unit(file.below(root), f"{file.size}-{file.modified}", file.size, file) for file in files]


def units_of_table(commits: Sequence[InputFile], root: str | None) -> list[Unit]:
    """Return a Delta table as one unit, by the newest commit of its log; none if there is no commit."""
    if not commits:
        return []
    newest = max(commits, key=lambda commit: commit.path)
    table, _, name = newest.below(root).rpartition("/_delta_log/")
    return [Unit(table, f"{int(name.partition('.')[0])}-{newest.size}-{newest.modified}")]


def plain_path(uri: str) -> str:
    """Return a file's path as it is listed, of the percent-encoded form in which Spark shows it with a row.

    Examples
    --------
    >>> plain_path("file:///raw/day%201.csv")
    'file:/raw/day 1.csv'
    """
    return re.sub(r"^file:/+", "file:/", unquote(uri))


def shown_name(unit: str) -> str:
    """Return a unit's name in the form in which Spark shows the file of a row: `unit_of` leads back to it."""
    return percent_encoded(unit, safe="/:")


def unit_of(file: Column, root: str) -> Column:
    """Return the unit that a row came from.

    Parameters
    ----------
    file : Column
        The row's file as Spark shows it.
    root : str
        What is cut off the names of units.
    """
    # In the text of a form a plus would be a space; in a file's name it is a plus.
    decoded = F.url_decode(F.regexp_replace(file, r"\+", "%2B"))
    path = F.regexp_replace(F.when(file.contains("%"), decoded).otherwise(file), "^file:/+", "file:/")
    if not root:
        return path
    prefix = root + "/"
    at = F.instr(path, prefix)
    return F.when(at > 0, path.substr(at + F.lit(len(prefix)), F.length(path))).otherwise(path)
