"""Cuts sessions for sources that have none, and numbers the events within a session."""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.ingest.repeats import content_hash

CUT, NUMBERED, WAS = "__cut", "__numbered", "__was"
"""Helper columns of an event: whether its session and its step are made here, and what they were if it is stored."""

_PREFIX: Final = "s-"


def is_cut(column: str) -> Column:
    """Whether a session was cut here, by the form of its id."""
    return F.coalesce(F.col(column).rlike(f"^{_PREFIX}[0-9a-f]{{32}}$"), F.lit(False))


def cut_sessions(events: DataFrame, *, rows: Column, gap_minutes: int) -> DataFrame:
    """Give rows a session that ends after a gap: its id follows from the user and the session's first instant.

    An event's session depends on the user's earlier events only, so nothing that happens later changes it. Where rows
    carry `WAS`, the first of a user keeps the session that it had: it may have begun earlier.

    Parameters
    ----------
    rows : Column
        Condition for the rows of sources without sessions; other rows keep theirs.
    gap_minutes : int
        A longer pause starts a new session.
    """
    in_order = W.Window.partitionBy("user_id").orderBy("event_time", "event_id")
    so_far = in_order.rowsBetween(W.Window.unboundedPreceding, W.Window.currentRow)
    before = F.lag("event_time").over(in_order)
    gap = F.unix_micros("event_time") - F.unix_micros(before) > gap_minutes * 60_000_000
    mine = events.where(rows)
    name = F.concat(F.lit(_PREFIX), content_hash(mine, ["user_id", "event_time"]))
    if WAS in events.columns:
        name = F.when(before.isNull(), F.coalesce(F.col(WAS).getField("session_id"), name)).otherwise(name)
    started = mine.select("*", F.when(before.isNull() | gap, name).alias("__session"))
    named = started.withColumn("session_id", F.last("__session", ignorenulls=True).over(so_far))
    return named.select(*events.columns).unionByName(events.where(~rows))


def number_steps(events: DataFrame, *, rows: Column) -> DataFrame:
    """Number the events of each session from 1, by time and then `event_id`, for rows whose source does not.

    Where rows carry `WAS`, numbers go on from the first step that a stored event of the session had.
    """
    session = W.Window.partitionBy("user_id", "session_id")
    mine = events.where(rows & F.col("session_id").isNotNull())
    step = F.row_number().over(session.orderBy("event_time", "event_id"))
    if WAS in events.columns:
        was = F.col(WAS)
        first = F.min(F.when(was.getField("session_id") == F.col("session_id"), was.getField("session_step")))
        step = step + F.coalesce(first.over(session) - 1, F.lit(0))
    numbered = mine.withColumn("session_step", step)
    others = events.where(~rows | F.col("session_id").isNull())
    return numbered.select(*events.columns).unionByName(others)
