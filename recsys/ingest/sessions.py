"""Cuts sessions for sources that have none, and numbers the events within a session."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.ingest.repeats import content_hash


def cut_sessions(events: DataFrame, *, rows: Column, gap_minutes: int) -> DataFrame:
    """Give rows a session that ends after a gap: its id follows from the user and the session's first instant.

    An event's session depends on the user's earlier events only, so nothing that happens later changes it.

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
    started = mine.select("*", F.when(before.isNull() | gap, F.col("event_time")).alias("__start"))
    known = started.withColumn("__start", F.last("__start", ignorenulls=True).over(so_far))
    named = known.withColumn("session_id", F.concat(F.lit("s-"), content_hash(known, ["user_id", "__start"])))
    return named.select(*events.columns).unionByName(events.where(~rows))


def number_steps(events: DataFrame, *, rows: Column) -> DataFrame:
    """Number the events of each session from 1, by time and then `event_id`, for rows whose source does not."""
    in_session = W.Window.partitionBy("user_id", "session_id").orderBy("event_time", "event_id")
    mine = events.where(rows & F.col("session_id").isNotNull())
    numbered = mine.withColumn("session_step", F.row_number().over(in_session))
    others = events.where(~rows | F.col("session_id").isNull())
    return numbered.select(*events.columns).unionByName(others)
