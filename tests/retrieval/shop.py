"""A small made-up log whose truth can be counted in Python."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from recsys.data.log import Log
from recsys.retrieval.settings import SignalSettings

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
WEIGHTS = {"view": 1.0, "purchase": 5.0}
SIGNAL = SignalSettings(weights=WEIGHTS)
EVENT = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "is_bot boolean"
)


@dataclass(frozen=True)
class Row:
    """One event: who, what, how, how many hours before AS_OF (negative: after it)."""

    user: str
    item: str
    kind: str = "view"
    hours: float = 1.0
    bot: bool = False
    value: float | None = None


def made_up(n_users: int = 40, n_items: int = 30, per_user: int = 8, seed: int = 1) -> list[Row]:
    """Users of two tastes, items with a long tail."""
    random = np.random.default_rng(seed)
    rows = []
    for u in range(n_users):
        shares = 1.0 / (np.arange(n_items) + 2.0)
        shares[np.arange(n_items) % 2 == u % 2] *= 5
        for i in random.choice(n_items, min(per_user, n_items), replace=False, p=shares / shares.sum()):
            kind = "purchase" if random.random() < 0.3 else "view"
            rows.append(Row(f"u{u:03d}", f"i{i:03d}", kind, float(random.integers(1, 2000))))
    return rows


FUTURE = [
    Row("u000", "i029", "purchase", -1),
    Row("u000", "planted", "purchase", 0),
    Row("newcomer", "i000", "view", -5),
    *(Row(f"u{u:03d}", "planted", "purchase", -2) for u in range(10)),
]
"""Events at and after AS_OF: whatever they touch must stay as it is without them."""


def events_of(spark: SparkSession, rows: list[Row]) -> DataFrame:
    """Make the events of some rows."""
    data = [
        (f"e{i}", r.user, r.item, r.kind, AS_OF - timedelta(hours=r.hours), r.value, r.bot) for i, r in enumerate(rows)
    ]
    return spark.createDataFrame(data, EVENT)


def index(spark: SparkSession, entity: str, ids: list[str]) -> DataFrame:
    """Number ids in an order that is not theirs."""
    shuffled = sorted(ids, key=lambda name: name[::-1])
    return spark.createDataFrame([(name, i) for i, name in enumerate(shuffled, 1)], f"{entity}_id string, idx int")


def log_of(spark: SparkSession, rows: list[Row], users: DataFrame | None = None, partitions: int | None = None) -> Log:
    """The log of some rows, with its indexes."""
    events = events_of(spark, rows)
    return Log(
        events.repartition(partitions) if partitions else events,
        AS_OF,
        users=users,
        user_index=index(spark, "user", sorted({r.user for r in rows})),
        item_index=index(spark, "item", sorted({r.item for r in rows})),
    )


def table(frame: DataFrame) -> list[tuple[Any, ...]]:
    """Rows in an order of their own."""
    return sorted((tuple(row) for row in frame.collect()), key=repr)
