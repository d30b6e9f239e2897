"""The recent past of a user before an instant: at most `KEPT` events of people, none older than `DAYS` days.

An event belongs to the past of an instant if it is strictly earlier or, within the running session, if it has an
earlier step and is not later. No history is ever gathered per example. If all examples share one instant, one is
gathered per user; else each user's events are cut into chunks of `_CHUNK` in order of time, and an instant gets the
chunk that it falls into and the one before. So it costs at most two chunks, however long the user's log is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.features.states import with_state

KEPT: Final = 200
"""How many of a user's most recent events before an instant are used."""
DAYS: Final = 365
"""Older events are not used."""
_CHUNK: Final = KEPT + 56
"""Events fetched before an instant; the surplus makes up for events at that very instant, which are not its past."""

_EVENT = ("event_time", "session_step", "event_id", "item_id", "category", "session_id", "event_type")


def past_at(events: DataFrame, items: DataFrame, *, instant: datetime) -> DataFrame:
    """Gather one history per user before one instant.

    Parameters
    ----------
    events : DataFrame
        The log, robots included.
    items : DataFrame
        The catalog with its history.
    instant : datetime
        The instant that all examples share.

    Returns
    -------
    DataFrame
        `user_id, fetched`, one row per user: events newest first, as `trim` takes them.
    """
    inside = (F.col("event_time") <= F.lit(instant)) & (F.col("event_time") >= F.lit(instant - timedelta(days=DAYS)))
    newest = W.partitionBy("user_id").orderBy(F.desc("event_time"), F.desc("session_step"), F.desc("event_id"))
    # A filter on a row number lets Spark cap every user before the shuffle, so that no task gets all events of a heavy
    # user.
    kept = (
        _of_people(events.where(inside))
        .withColumn("newest", F.row_number().over(newest))
        .where(F.col("newest") <= _CHUNK)
        .drop("newest")
    )
    return _gathered(_categorized(kept, items), "user_id")


def past_by_moment(
    events: DataFrame,
    items: DataFrame,
    moments: DataFrame,
    *,
    times: DataFrame,
    keep: Callable[[DataFrame], DataFrame] = lambda frame: frame,
) -> DataFrame:
    """Gather the history before each of many instants.

    Parameters
    ----------
    events, items : DataFrame
        The log, and the catalog with its history.
    moments : DataFrame
        `list_id` (unique), `user_id`, and what else is carried along.
    times : DataFrame
        `list_id, user_id, example_time` of the same moments, cheaper to read.
    keep : callable
        Persists a frame that is read several times, and returns it.

    Returns
    -------
    DataFrame
        `moments` with `fetched`: events newest first, as `trim` takes them; null where there are none.
    """
    active = _of_people(events).join(times.select("user_id").distinct(), on="user_id", how="left_semi")
    counted, chunk = keep(_counted(active, times)), _chunk_of(F.col("seq"))
    chunks = counted.where("is_moment").select("user_id", "list_id", chunk.alias("chunk"))
    numbered = counted.where(~F.col("is_moment")).select(
        "user_id", F.explode(F.array(chunk, chunk + 1)).alias("chunk"), *(n for n in _EVENT if n != "category")
    )
    needed = chunks.select("user_id", "chunk").distinct()
    numbered = _categorized(numbered.join(needed, on=["user_id", "chunk"], how="left_semi"), items)
    gathered = _gathered(numbered, "user_id", "chunk")
    return (
        moments.join(chunks.select("list_id", "chunk"), on="list_id", how="inner")
        .join(gathered, on=["user_id", "chunk"], how="left")
        .drop("chunk")
    )


def trim(fetched: Column, *, session_id: Column, session_step: Column, instant: Column) -> Column:
    """Keep those fetched events that are past, newest first, at most `KEPT`; an empty array if there are none."""
    since = F.unix_micros(instant) - F.lit(DAYS * 86_400_000_000)

    def is_past(event: Column) -> Column:
        time, step = event["event_time"], event["session_step"]
        stepped = (event["session_id"] == session_id) & step.isNotNull() & session_step.isNotNull()
        earlier = F.when(stepped, (step < session_step) & (time <= instant)).otherwise(time < instant)
        return earlier & (F.unix_micros(time) >= since)

    past = F.slice(F.filter(fetched, is_past), 1, KEPT)
    return F.coalesce(past, F.array().cast(_TYPE))


_TYPE = (
    "array<struct<event_time:timestamp,session_step:int,event_id:string,"
    "item_id:string,category:string,session_id:string,event_type:string>>"
)


def _of_people(events: DataFrame) -> DataFrame:
    return events.where(~F.col("is_bot")).select(
        "user_id", "event_date", *(name for name in _EVENT if name != "category")
    )


def _categorized(events: DataFrame, items: DataFrame) -> DataFrame:
    return with_state(events, items, entity="item", columns={"category": "category"}, time="event_time", known_at=True)


def _gathered(events: DataFrame, *keys: str) -> DataFrame:
    # Descending order of structs: by time, then step, then event_id; nulls last.
    array = F.sort_array(F.collect_list(F.struct(*_EVENT)), asc=False)
    return events.groupBy(*keys).agg(array.alias("fetched"))


def _chunk_of(seq: Column) -> Column:
    return F.floor((F.greatest(seq, F.lit(1)) - 1) / _CHUNK).cast("int")


def _counted(events: DataFrame, moments: DataFrame) -> DataFrame:
    """Number each user's events from 1 in order of time, and give each moment the number of events up to its instant.

    Numbers run within a day, and the totals of earlier days are added: no task sorts more than one day of one user.
    """
    names = [name for name in _EVENT if name != "category"]
    nulls = [F.lit(None).alias(name) for name in names if name != "event_time"]
    rows = events.select("user_id", "event_date", *names, F.lit(None).cast("string").alias("list_id")).unionByName(
        moments.select(
            "user_id",
            F.to_date("example_time").alias("event_date"),
            F.col("example_time").alias("event_time"),
            *nulls,
            "list_id",
        )
    )
    is_moment = F.col("list_id").isNotNull()
    rows = rows.withColumn("is_moment", is_moment)
    # Moments come after the events of their own instant, so that they count them.
    within = W.partitionBy("user_id", "event_date").orderBy(
        "event_time", "is_moment", F.asc_nulls_first("session_step"), "event_id", "list_id"
    )
    running = F.sum(F.when(F.col("is_moment"), 0).otherwise(1)).over(
        within.rowsBetween(W.unboundedPreceding, W.currentRow)
    )
    per_day = rows.groupBy("user_id", "event_date").agg(F.count(F.when(~F.col("is_moment"), True)).alias("day_n"))
    before = F.sum("day_n").over(W.partitionBy("user_id").orderBy("event_date").rowsBetween(W.unboundedPreceding, -1))
    offsets = per_day.select("user_id", "event_date", F.coalesce(before, F.lit(0)).alias("offset"))
    return (
        rows.withColumn("running", running)
        .join(offsets, on=["user_id", "event_date"], how="inner")
        .withColumn("seq", F.col("running") + F.col("offset"))
        .drop("running", "offset")
    )
