"""Every table of a warehouse by its name: the contracts of `recsys.data` and those that retrievers bring."""

from __future__ import annotations

from recsys.data import BY_NAME, Table
from recsys.retrieval import registry


def table_named(name: str) -> Table | None:
    """Return the contract of a table, or None where there is no such table."""
    return BY_NAME.get(name) or next((table for table in registry.tables() if table.name == name), None)


def all_tables() -> tuple[Table, ...]:
    """Every table."""
    return registry.all_tables()
