"""Logs for splits without times: everything is one rating, a day before the instant of the fit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from benchmarks.quality.protocols import Histories
from recsys.data.log import Log
from recsys.retrieval.settings import SignalSettings

AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
SIGNAL = SignalSettings(weights={"rating": 1.0})
_LAST = AS_OF - timedelta(days=1)
_EVENT = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "session_id string, is_bot boolean"
)


def log_of(spark: SparkSession, train: Histories, *, in_order: bool = False) -> Log:
    """Make the log, with its indexes; items of a user have one time, or are a minute apart, the last a day ago."""
    apart = timedelta(minutes=1 if in_order else 0)
    rows = [
        (f"{user} {place}", user, item, "rating", _LAST - apart * (len(items) - 1 - place), None, None, False)
        for user, items in train.items()
        for place, item in enumerate(items)
    ]
    return _log(spark, spark.createDataFrame(rows, _EVENT), train, {item for mine in train.values() for item in mine})


def log_of_ratings(spark: SparkSession, ratings: pd.DataFrame) -> Log:
    """Make the log of `user_id, item_id, value`, all of it at one time."""
    users, items = ratings["user_id"], ratings["item_id"]
    rows = pd.DataFrame({"event_id": users + " " + items, "user_id": users, "item_id": items})
    rows = rows.assign(event_type="rating", event_time=_LAST, value=ratings["value"], session_id=None, is_bot=False)
    return _log(spark, spark.createDataFrame(rows, _EVENT), users.unique(), items.unique())


def _log(spark: SparkSession, events: DataFrame, users: Iterable[str], items: Iterable[str]) -> Log:
    index = {
        f"{what}_index": spark.createDataFrame(
            [(name, place) for place, name in enumerate(sorted(names), 1)], f"{what}_id string, idx int"
        )
        for what, names in (("user", users), ("item", items))
    }
    return Log(events, AS_OF, **index)
