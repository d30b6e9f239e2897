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
from fnmatch import fnmatchcase
from typing import Protocol
from urllib.parse import unquote

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.instants import instant_of
from recsys.ingest.files import InputFile


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
class Ledger:
    """What earlier batches of a dataset took in: the rows of `recsys.data.INGESTED`, on the driver.

    Attributes
    ----------
    units : mapping of (str, str) to (str, str)
        Name of the source and the unit, to the unit's version and the rules that it was read under.
    newest : mapping of str to datetime
        Name of the source, to the latest time of a row that it brought (UTC).
    """

    units: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    newest: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, ingested: DataFrame) -> Ledger:
        """Read the ledger of one dataset; it has as many rows as the driver lists files."""
        micros = F.unix_micros("last_time").alias("at")
        rows = ingested.select("source_name", "unit", "version", "rules_hash", micros).collect()
        newest: dict[str, int] = {}
        for row in rows:
            if row["at"] is not None:
                newest[row["source_name"]] = max(newest.get(row["source_name"], row["at"]), row["at"])
        return cls(
            {(row["source_name"], row["unit"]): (row["version"], row["rules_hash"]) for row in rows},
            {source: instant_of(at) for source, at in newest.items()},
        )

    def sources(self) -> frozenset[str]:
        """Names of the sources that an earlier batch read something of."""
        return frozenset(name for name, _ in self.units)

    def about(self, sources: Collection[str]) -> Ledger:
        """Return what it says of some sources: what was read into a table that is gone has to be read again."""
        return Ledger(
            {key: read for key, read in self.units.items() if key[0] in sources},
            {source: at for source, at in self.newest.items() if source in sources},
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
            Names of units, or patterns with `*` and `?`, to be read although they are known.
        """

        def known(unit: Unit) -> bool:
            version, earlier = self.units.get((source, unit.name), (None, ""))
            same = version == unit.version and rules in (None, earlier)
            return same and not any(fnmatchcase(unit.name, pattern) for pattern in again)

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
