"""Removes slices that were made for instants long past, from tables whose slices are made for one instant each.

A slice's age is measured against the newest slice of its table, not against the clock: a warehouse of last year's data
keeps as much as one of today's. The commit that removes slices names the instant before which they lay, so that a run
for an earlier instant is known to have lost what it made (`recsys.store.done`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pyspark.sql import functions as F

from recsys import data
from recsys.data import AS_OF_KEY, Table, stamp
from recsys.data.sql import literal
from recsys.errors import ConfigError
from recsys.retrieval import registry
from recsys.store.catalog import all_tables
from recsys.store.commit import Stamp, stamping
from recsys.store.done import UPKEEP
from recsys.store.files import directories, remove
from recsys.store.history import told
from recsys.store.retrying import retrying
from recsys.store.tables import Tables

FITS: Final = "fits"
"""Stands for the tables of all retrievers, and for the rows of `models` that make their fits visible."""
_TEXTS: Final = {
    AS_OF_KEY.name: AS_OF_KEY.name,
    "run_date": "date_format(run_date, \"yyyyMMdd'T000000Z'\")",
    "model_version": "regexp_extract(model_version, '-([0-9]{8}T[0-9.]+Z)-[0-9a-f]+$', 1)",
}
"""The instant of a slice as text, by the partition column that cuts slices."""


@dataclass(frozen=True)
class Expired:
    """The slices of one table that lie before an instant.

    Attributes
    ----------
    before : datetime
        The instant (UTC).
    slices : int
        Number of slices.
    """

    table: Table
    before: datetime
    slices: int


def groups() -> dict[str, tuple[Table, ...]]:
    """What can be removed by age: a table by its name, and what retrievers have learned, the rows of `models` first.

    Of a model's own statistics (`feature_stats`) nothing goes while the model may still be used.
    """
    learned = registry.tables()
    alone = [table for table in all_tables() if _cut_by(table) and table not in (*learned, data.FEATURE_STATS)]
    return {table.name: (table,) for table in alone} | {FITS: (data.MODELS, *learned)}


def expired(
    tables: Tables, keep_days: Mapping[str, int], *, as_of: datetime, oldest_needed: Callable[[datetime], datetime]
) -> list[Expired]:
    """Find what is older than it has to be.

    Parameters
    ----------
    keep_days : mapping of str to int
        Days by the name of a group: a slice may be so much older than the newest one.
    as_of : datetime
        Slices at or after it are neither removed nor taken for the newest one.
    oldest_needed : callable
        Returns the oldest instant of which a run for the newest instant reads slices.

    Raises
    ------
    ConfigError
        For a name that is none of :func:`groups`.
    """
    known, found = groups(), []
    for name, days in keep_days.items():
        if name not in known:
            raise ConfigError(f"maintain.keep_days: {name} has no slices to remove; it may name {', '.join(known)}")
        there = [table for table in known[name] if tables.exists(table)]
        newest = max((text for table in there if (text := _newest(tables, table, as_of))), default=None)
        if newest is not None:
            at = datetime.strptime(newest[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            before = min(at - timedelta(days=days), oldest_needed(at))
            found += [Expired(table, before, _count(tables, table, before)) for table in there]
    return [one for one in found if one.slices]


def remove_expired(tables: Tables, one: Expired, *, run_id: str) -> None:
    """Remove slices in one commit, and the snapshots beside them."""
    says = told(run_id=run_id, job=UPKEEP, as_of=stamp(one.before))
    with stamping(tables.spark, Stamp(UPKEEP, 0, says), numbered=False):
        retrying(partial(tables.delta(one.table).delete, _condition(one.table, one.before)))
    for place in directories(tables.spark, tables.path("snapshots", one.table.name), prefix=""):
        if place.rstrip("/").rpartition("/")[2] < stamp(one.before):
            remove(tables.spark, place)


def _cut_by(table: Table) -> str | None:
    return next((name for name in _TEXTS if name in table.partitions), None)


def _text(table: Table) -> str:
    return _TEXTS[_cut_by(table) or "model_version"]


def _condition(table: Table, before: datetime) -> str:
    """Write which rows are of slices before an instant; a version whose name has no instant never is."""
    text = _text(table)
    older = f"{text} <> '' AND {text} < {literal(stamp(before))}"
    return f"{older} AND {_of_retrievers()}" if table is data.MODELS else older


def _of_retrievers() -> str:
    return f"kind IN ({', '.join(literal(kind) for kind in registry.kinds())})"


def _newest(tables: Tables, table: Table, as_of: datetime) -> str | None:
    rows = tables.delta(table).toDF().where(f"{_text(table)} <= {literal(stamp(as_of))}")
    if table is data.MODELS:
        rows = rows.where(_of_retrievers())
    found = rows.agg(F.max(F.expr(_text(table)))).first()
    return found[0] or None if found is not None else None


def _count(tables: Tables, table: Table, before: datetime) -> int:
    old = tables.delta(table).toDF().where(_condition(table, before))
    return old.select(F.expr(_text(table))).distinct().count()
