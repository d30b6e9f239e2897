"""Deliveries may be cut anywhere: the same rows in one batch, or in several in any order, become the same tables."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.ingest.settings import RobotSettings
from tests.ingest.support import SETTINGS, clean, dataset, lines, source, write

pytestmark = pytest.mark.spark

COLUMNS = {"event_id": "id", "user_id": "user", "item_id": "item", "event_type": "type", "event_time": "time"}
SHOWN = {"list_id": "list", "user_id": "user", "item_id": "item", "shown_at": "time", "position": "at"}
GOODS = {"item_id": "sku", "valid_from": "since", "title": "title"}
MAPPING = dataset(
    source(name="web", path="web.json", columns=COLUMNS, optional=True),
    source(name="app", path="app.json", columns={**COLUMNS, "session_id": "visit"}, optional=True),
    source(name="shown", table="impressions", path="shown.json", columns=SHOWN, optional=True),
    source(name="goods", table="items", path="goods.json", columns=GOODS, optional=True),
)
DAY = datetime(2024, 5, 1, 12, tzinfo=UTC)
KEYS = {"events": ("event_id",), "impressions": ("list_id", "item_id"), "items": ("item_id", "valid_from")}
KEYS["robots"] = ("user_id",)
VOLATILE = {"batch_id", "ingested_at"}

Rows = list[tuple[str, dict[str, Any]]]
REGULAR = 6
RULES = SETTINGS.model_copy(update={"robots": RobotSettings(regular_gaps=REGULAR)})


def at(minutes: float) -> str:
    return (DAY + timedelta(minutes=minutes)).isoformat()


def web(name: str, user: str, minutes: float, item: str = "i1") -> tuple[str, dict[str, Any]]:
    return "web", {"id": name, "user": user, "item": item, "type": "view", "time": at(minutes)}


LATE = web("irr-late", "irr", 61)
"""Without it, the user's day is as regular as a robot's."""


def a_log() -> Rows:
    """Sessions over two days that one event joins, robots, ids that come twice, states that come back."""
    rows = [web(f"a{k}", "ann", minutes) for k, minutes in enumerate((0, 20, 45, 80, 700, 725, 755, 2000, 2025))]
    rows += [web(f"m{k}", "max", 40 * k) for k in range(4)]
    rows += [web(f"r{k}", "rob", k * 0.2) for k in range(4)] + [web("r-later", "rob", 3), web("r-far", "rob", 4000)]
    rows += [
        web("twice", "ann", 60),
        web("twice", "ann", 10, "i2"),
        web("twice", "max", 90),
        web("twice", "ann", 10, "i3"),
    ]
    rows += [web("same", "max", 100), web("same", "max", 100)]
    for user in ("reg", "irr"):
        rows += [web(f"{user}{k}", user, 10 * k) for k in range(8)] + [web(f"{user}-next", user, 2000)]
    rows += [("app", {**web(f"p{k}", "pat", 15 * k)[1], "visit": f"v{k // 3}"}) for k in range(6)]
    rows += [
        ("shown", {"list": f"l{k}", "user": user, "item": "i1", "time": at(minutes), "at": 1})
        for k, (user, minutes) in enumerate([("rob", 0.5), ("rob", 5), ("ann", 5), ("reg", 2000), ("irr", 2000)])
    ]
    states = (("2024-01-01", "A"), ("2024-01-02", "A"), ("2024-01-03", "B"), ("2024-01-04", "A"), ("2024-01-05", "A"))
    return rows + [("goods", {"sku": "i1", "since": since, "title": title}) for since, title in states] + [LATE]


def delivered(spark: SparkSession, folder: Path, batches: list[Rows]) -> dict[str, dict[Any, dict[str, Any]]]:
    """Clean one batch after the other; return every table as its key, to the columns that don't tell of the batch."""
    stored: dict[str, dict[Any, dict[str, Any]]] = {}
    for number, batch in enumerate(batches):
        root = folder / str(number)
        for name in {name for name, _ in batch}:
            write(root, f"{name}.json", lines(row for source, row in batch if source == name))
        existing = {
            name: spark.createDataFrame(
                [tuple(row[column] for column in data.BY_NAME[name].column_names) for row in rows.values()],
                data.BY_NAME[name].ddl(),
            )
            for name, rows in stored.items()
        }
        found = clean(spark, MAPPING, root, settings=RULES, existing=existing)
        for name, rows in found.tables.items():
            kept = {} if name in ("items", "robots") else stored.setdefault(name, {})
            kept.update({tuple(row[key] for key in KEYS[name]): row.asDict() for row in rows})
            stored[name] = kept
    return {
        name: {key: {c: v for c, v in row.items() if c not in VOLATILE} for key, row in rows.items()}
        for name, rows in stored.items()
    }


def expected(rows: Rows) -> dict[str, tuple[Any, ...]]:
    """By brute force: user, item, the first instant and the number within its session, and whether it is a robot's."""
    best: dict[str, dict[str, Any]] = {}
    for name, row in rows:
        rivals = best.get(row.get("id", "")), row
        if name in ("web", "app") and (rivals[0] is None or row["time"] < rivals[0]["time"]):
            best[row["id"]] = row
    found = {}
    for user in {row["user"] for row in best.values()}:
        mine = sorted((row for row in best.values() if row["user"] == user), key=lambda row: (row["time"], row["id"]))
        times = [datetime.fromisoformat(row["time"]) for row in mine]
        minutes = Counter(time.replace(second=0, microsecond=0) for time in times)
        hours = Counter(time.replace(minute=0, second=0, microsecond=0) for time in times)
        limits = [t + timedelta(minutes=1) for t, n in minutes.items() if n > SETTINGS.bot_events_per_minute]
        limits += [t + timedelta(hours=1) for t, n in hours.items() if n > SETTINGS.bot_events_per_hour]
        limits += [DAY.replace(hour=0) + timedelta(days=1)] if is_regular(times) else []
        session, step, before = "", 0, None
        for row, time in zip(mine, times, strict=True):
            cut = row.get("visit") or (session if before and time - before <= timedelta(minutes=30) else row["time"])
            step, session, before = (step + 1 if cut == session else 1), cut, time
            found[row["id"]] = (user, session, step, any(time >= limit for limit in limits))
    return found


def is_regular(times: list[datetime]) -> bool:
    """By the first day alone, which is the only one with enough events."""
    first = [time for time in times if time.date() == DAY.date()]
    gaps = [(b - a).total_seconds() for a, b in pairwise(first) if b - a <= timedelta(minutes=30)]
    return len(gaps) >= REGULAR and pstdev(gaps) <= 0.2 * fmean(gaps)


def told(events: dict[Any, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The same of a table: a session by the instant of its first event, where it has no name of its own."""
    rows = events.values()
    firsts = {
        row["session_id"]: min(r["event_time"] for r in rows if r["session_id"] == row["session_id"]) for row in rows
    }
    return {
        row["event_id"]: (
            row["user_id"],
            firsts[row["session_id"]] if row["session_id"].startswith("s-") else row["session_id"],
            row["session_step"],
            row["is_bot"],
        )
        for row in rows
    }


def test_one_batch_or_many_in_any_order(spark: SparkSession, tmp_path: Path) -> None:
    rows = a_log()
    whole = delivered(spark, tmp_path / "whole", [rows])
    assert [row["title"] for _, row in sorted(whole["items"].items())] == ["A", "B", "A"]
    assert {key[0]: row["is_bot"] for key, row in whole["impressions"].items()} == {
        "l0": False,
        "l1": True,
        "l2": False,
        "l3": True,
        "l4": False,
    }
    assert {key[0]: row["rules_hit"] for key, row in whole["robots"].items()} == {
        "rob": ["events_per_minute"],
        "reg": ["regular_gaps"],
    }
    naive = {name: (user, _local(session), step, bot) for name, (user, session, step, bot) in expected(rows).items()}
    assert told(whole["events"]) == naive
    shuffled = random.Random(7).sample(rows, len(rows))
    shuffled = [*(row for row in shuffled if row is not LATE), LATE]
    cuts = [shuffled[:25], shuffled[25:-8], shuffled[-8:]]
    assert delivered(spark, tmp_path / "cut", cuts) == whole


def _local(session: str) -> Any:
    """A session's first instant as a collected timestamp shows it: in the driver's zone, without naming it."""
    if not session.startswith("2024"):
        return session
    return datetime.fromisoformat(session).astimezone().replace(tzinfo=None)


def test_a_session_that_began_before_the_window_goes_on(spark: SparkSession, tmp_path: Path) -> None:
    """A chain of events longer than what is read back, three days: one session, two batches."""
    chain = [web(f"c{k:03}", "cat", 29 * k) for k in range(160)]
    events = delivered(spark, tmp_path, [chain[:158], chain[158:]])["events"]
    assert len({row["session_id"] for row in events.values()}) == 1
    assert [events[f"c{k:03}",]["session_step"] for k in range(160)] == list(range(1, 161))
