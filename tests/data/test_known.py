"""A label that became known later than its list is not there for an earlier instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.features.examples import with_outcomes
from recsys.features.shown import shown_items
from recsys.store import Warehouse
from tests.features import logs

pytestmark = pytest.mark.spark

SHOWN_AT = datetime(2024, 5, 1, 10, tzinfo=UTC)
KNOWN_AT = SHOWN_AT + timedelta(days=3)


def lists(spark: SparkSession) -> DataFrame:
    """Clicked as was known at once, an hour, and three days later."""
    times = {"a": None, "b": SHOWN_AT + timedelta(hours=1), "c": KNOWN_AT}
    common = {"list_id": "l", "user_id": "u", "shown_at": SHOWN_AT, "label": 1.0}
    rows = [logs.impression(**common, item_id=i, position=p, known_at=at) for p, (i, at) in enumerate(times.items(), 1)]
    return logs.frame(spark, data.IMPRESSIONS, rows)


def test_an_earlier_instant_sees_no_label(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.replace(data.IMPRESSIONS, lists(spark), where={})

    def labels(before: datetime | None) -> dict[str, float | None]:
        return {row["item_id"]: row["label"] for row in warehouse.read(data.IMPRESSIONS, before=before).collect()}

    assert labels(KNOWN_AT) == {"a": 1.0, "b": 1.0, "c": None}, "what becomes known at the instant is not known yet"
    assert labels(KNOWN_AT + timedelta(microseconds=1)) == labels(None) == dict.fromkeys("abc", 1.0)
    events = logs.frame(spark, data.EVENTS, [])
    examples = with_outcomes(warehouse.read(data.IMPRESSIONS, before=KNOWN_AT), events).collect()
    assert {row["item_id"]: row["label"] for row in examples} == {"a": 1.0, "b": 1.0, "c": 0.0}
    later = with_outcomes(warehouse.read(data.IMPRESSIONS), events).collect()
    assert {row["item_id"]: str(row["outcome_date"]) for row in later} == {
        "a": "2024-05-01",
        "b": "2024-05-01",
        "c": "2024-05-04",
    }
    taste = shown_items(warehouse.read(data.IMPRESSIONS), events).collect()
    assert {row["item_id"]: row["clicked"] for row in taste} == {"a": 1, "b": 1, "c": 0}, "a day never changes later"
