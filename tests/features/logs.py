"""Small random logs, and the helpers that the oracles share. Everything is plain Python."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys import data

Row = dict[str, Any]
AS_OF = datetime(2021, 3, 10, 12, 30, tzinfo=UTC)
KINDS = ("view", "view", "view", "click", "cart", "purchase", "return", "rating", "other")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def events(seed: int, n: int = 250, *, users: int = 5, items: int = 7) -> list[Row]:
    """Draw events around `AS_OF`: long ago, within the day, in the same second, and some after it."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        back = draw.choice((draw.uniform(-2, 2), draw.uniform(0, 12), draw.uniform(0, 400)))
        time = (AS_OF - timedelta(days=back)).replace(microsecond=0)
        if draw.random() < 0.3:
            time = time.replace(minute=0, second=0)
        kind = draw.choice(KINDS)
        valued = draw.random() < 0.7
        rows.append(
            event(
                event_id=f"e{number:04d}",
                user_id=f"u{draw.randrange(users)}",
                item_id=f"i{draw.randrange(items)}",
                event_type=kind,
                event_time=time,
                value=round(draw.uniform(0, 9), 2) if valued else None,
                quantity=float(draw.randrange(1, 4)) if valued and draw.random() < 0.8 else None,
                price=round(draw.uniform(0, 99), 2) if valued else None,
                is_bot=draw.random() < 0.1,
            )
        )
    return rows


def sessions(rows: list[Row], seed: int) -> list[Row]:
    """Give events sessions by user and hour, most with steps in the order of time and identifier."""
    draw = random.Random(seed)
    steps: dict[str, int] = {}
    cut = []
    for row in sorted(rows, key=lambda r: (r["event_time"], r["event_id"])):
        session = f"s-{row['user_id']}-{row['event_time']:%Y%m%d%H}"
        steps[session] = steps.get(session, 0) + 1
        known, stepped = draw.random() < 0.9, draw.random() < 0.9
        cut.append(
            {
                **row,
                "session_id": session if known else None,
                "session_step": steps[session] if known and stepped else None,
            }
        )
    return cut


def event(**values: Any) -> Row:
    """Return a whole event row from a few values."""
    row: Row = dict.fromkeys(data.EVENTS.column_names)
    row.update(
        {
            "event_type": "view",
            "is_bot": False,
            "source": "test",
            "batch_id": "b",
            "ingested_at": AS_OF,
            **values,
        }
    )
    row["event_date"] = row["event_time"].date()
    return row


def impression(**values: Any) -> Row:
    """Return a whole row of a shown list from a few values."""
    row: Row = dict.fromkeys(data.IMPRESSIONS.column_names)
    row.update({"is_bot": False, "source": "test", "batch_id": "b", "ingested_at": AS_OF, **values})
    row["shown_date"] = row["shown_at"].date()
    return row


def item(item_id: str, valid_from: datetime = _NEVER, **values: Any) -> Row:
    """Return one state of an item from a few values."""
    row: Row = dict.fromkeys(data.ITEMS.column_names)
    row.update(
        {
            "available": True,
            "source": "test",
            "batch_id": "b",
            "ingested_at": AS_OF,
            "is_current": True,
            **values,
        }
    )
    row.update(item_id=item_id, valid_from=valid_from)
    return row


def user(user_id: str, valid_from: datetime = _NEVER, **values: Any) -> Row:
    """Return one state of a profile from a few values."""
    row: Row = dict.fromkeys(data.USERS.column_names)
    row.update({"source": "test", "batch_id": "b", "ingested_at": AS_OF, "is_current": True, **values})
    row.update(user_id=user_id, valid_from=valid_from)
    return row


def history(states: Iterable[Row], key: str) -> list[Row]:
    """Close each state when the next one of the same thing begins."""
    closed: list[Row] = []
    for state in sorted(states, key=lambda s: (s[key], s["valid_from"])):
        if closed and closed[-1][key] == state[key]:
            closed[-1] = {**closed[-1], "valid_to": state["valid_from"], "is_current": False}
        closed.append(state)
    return closed


def frame(spark: SparkSession, table: data.Table, rows: Iterable[Row], partitions: int = 2) -> DataFrame:
    """Make a frame of a table's rows."""
    data = [tuple(row.get(name) for name in table.column_names) for row in rows]
    return spark.createDataFrame(data, table.ddl()).repartition(partitions)


def valid(states: Iterable[Row], key: str, instant: datetime, *, inclusive: bool = False) -> dict[str, Row]:
    """Return the state of each thing that was valid just before an instant (or at it)."""
    found: dict[str, Row] = {}
    for state in sorted(states, key=lambda s: s["valid_from"]):
        if state["valid_from"] < instant or (inclusive and state["valid_from"] == instant):
            found[state[key]] = state
    return found


def people(rows: Iterable[Row]) -> list[Row]:
    """Leave robots out."""
    return [row for row in rows if not row["is_bot"]]
