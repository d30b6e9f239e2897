"""Which units are taken back and read again, and which others are read along because they may hold the same rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.mappable import TIME_COLUMN
from recsys.ingest.units import UNDOING, Ledger, Span, Unit
from recsys.progress import note

Key = tuple[str, str]
"""Name of a source and of a unit."""


@dataclass(frozen=True)
class Undo:
    """What is taken back before units are read again.

    Attributes
    ----------
    keys : frozenset of (str, str)
        Source and unit whose rows go.
    beside : frozenset of (str, str)
        Other units to be read once more: a row that they share with one of `keys` is stored under one name alone.
    tables : frozenset of str
        Tables that these sources fill.
    whole : frozenset of str
        Those of which every unit is taken back; there, rows that carry no unit go too.
    """

    keys: frozenset[Key]
    beside: frozenset[Key]
    tables: frozenset[str]
    whole: frozenset[str]

    def again(self, source: str) -> frozenset[str]:
        """Return the units of a source that are to be read although they are known."""
        return frozenset(unit for name, unit in self.keys | self.beside if name == source)

    @property
    def repeated_sources(self) -> frozenset[str]:
        """Names of the sources of which units are read again."""
        return frozenset(name for name, _ in self.keys | self.beside)

    def brought(self, table: str) -> Callable[[Column], Column]:
        """Return what turns the unit of a row into whether the row goes; never null."""
        names, rest = sorted({unit for _, unit in self.keys}), F.lit(table in self.whole)
        return lambda unit: F.coalesce(unit.isin(*names), rest)


def planned(
    sources: Sequence[Source], listed: Mapping[str, Sequence[Unit]], ledger: Ledger, patterns: Sequence[str]
) -> Undo | None:
    """Plan what is taken back; None if nothing is.

    Parameters
    ----------
    listed : mapping of str to sequence
        Name of a source, to the units that there are now.
    patterns : sequence of str
        Names of units, or patterns with `*` and `?`. A pattern stands for units that are there; a name also for one
        that is not there any more, which is then taken back alone.

    Raises
    ------
    DataError
        If a pattern stands for nothing, or for a unit whose rows can't be told from those of others.
    """
    there = {(name, unit.name) for name, units in listed.items() for unit in units}
    for pattern in patterns:
        if not any(_stands_for(pattern, key, there) for key in {*there, *ledger.units}):
            raise DataError(
                f"no unit is called {pattern}, neither below input.root nor in the table ingested; "
                "write the name as ingested has it, or a pattern with * and ?"
            )
    begun = {key for key, (version, _) in ledger.units.items() if version == UNDOING}
    named = {key for key in ledger.units if any(_stands_for(pattern, key, there) for pattern in patterns)}
    keys = frozenset(begun | named)
    if not keys:
        return None
    tables = {source.name: source.table for source in sources}
    whole = frozenset(tables.values()) - {tables[key[0]] for key in ledger.units.keys() - keys}
    _require_traced(keys, tables, whole, ledger)
    near = _near(keys, {source.name: source for source in sources}, ledger)
    beside = frozenset(near & there)
    _report(keys, beside, gone=len(keys - there), lost=len(near - there))
    return Undo(keys, beside, frozenset(tables[name] for name, _ in keys), whole)


def _stands_for(pattern: str, key: Key, there: Collection[Key]) -> bool:
    return key[1] == pattern or (key in there and fnmatchcase(key[1], pattern))


def _near(keys: frozenset[Key], sources: Mapping[str, Source], ledger: Ledger) -> set[Key]:
    """Other units that may hold a row of these: they fill the same table, and their times meet."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for key in sorted(keys):
        spans[sources[key[0]].table].append(ledger.spans.get(key, Span(None, None)))
    found = set()
    for key in ledger.units.keys() - keys:
        source = sources[key[0]]
        # States without a time all begin in 1970, and which of them is the newest is not to be read from files.
        timed = source.table in TIME_COLUMN or "valid_from" in source.columns
        mine = ledger.spans.get(key, Span(None, None))
        if timed and any(mine.meets(span) for span in spans[source.table]):
            found.add(key)
    return found


def _require_traced(keys: frozenset[Key], tables: Mapping[str, str], whole: Collection[str], ledger: Ledger) -> None:
    for key in sorted(keys):
        if not ledger.spans.get(key, Span(None, None)).traced and tables[key[0]] not in whole:
            raise DataError(
                f"{key[1]} was read by a version before 0.8, and its rows in {tables[key[0]]} do not say that it "
                "brought them; repeat all that fills the table (--reingest '*') or clean into a new warehouse"
            )


def _report(keys: frozenset[Key], beside: frozenset[Key], *, gone: int, lost: int) -> None:
    note(
        f"{len(keys):,} units are taken back, {gone:,} of them for good because they are not there any more; "
        f"{len(beside):,} others of the same time are read along"
    )
    if lost:
        note(f"{lost:,} other units of the same time are not there any more: what they share with these goes too")
