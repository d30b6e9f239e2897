"""Values and names on their way into SQL: quoted and escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any


def quote(name: str) -> str:
    """Quote an identifier (or a path after `delta.`)."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: Any) -> str:
    """Write a value as a SQL literal; instants are taken to UTC.

    Raises
    ------
    TypeError
        For a type that has no literal here, and for an instant without a zone, which would be read as UTC.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"no SQL literal for {value}: an instant needs a zone")
        return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, date):
        return f"DATE '{value:%Y-%m-%d}'"
    if isinstance(value, str):
        # Spark reads \{ as {, but takes ${ as a variable and replaces it before it reads anything.
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "$\\{")
        return f"'{escaped}'"
    raise TypeError(f"no SQL literal for a {type(value).__name__}")


def condition(where: Mapping[str, Any], *, alias: str | None = None) -> str:
    """Write `column = value` (or `column IN (…)` for a list), joined by AND."""
    prefix = f"{alias}." if alias else ""
    parts = []
    for column, value in where.items():
        if isinstance(value, (list, tuple, set, frozenset)):
            listed = ", ".join(literal(item) for item in sorted(value))
            parts.append(f"{prefix}{quote(column)} IN ({listed})" if listed else "false")
        else:
            parts.append(f"{prefix}{quote(column)} = {literal(value)}")
    return " AND ".join(parts)
