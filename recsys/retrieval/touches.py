"""Events that count as interest, as rows that are put in order user by user."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.retrieval.interactions import counts_as_interest
from recsys.retrieval.settings import SignalSettings

Within = Literal["history", "session"]
"""What is one sequence: all that a user did, or what they did in one session."""


def touches(events: DataFrame, *, as_of: datetime, signal: SignalSettings, within: Within) -> DataFrame:
    """Return `u, item_id, at, step` of the events strictly before an instant that count as interest.

    `u` is a hash of whom or what a sequence belongs to, `at` the time in microseconds, and `step` the place within the
    session, 0 where the log has none. Robots are left out, and with `within="session"` events without a session.

    Parameters
    ----------
    events : DataFrame
        `user_id, item_id, event_type, event_time, value, is_bot`, and `session_id, session_step` where there are.
    """
    time = F.col("event_time")
    counts = counts_as_interest(signal.weights, signal.min_value) & (time < F.lit(as_of)) & ~F.col("is_bot")
    if signal.window_days is not None:
        counts &= time >= F.lit(as_of - timedelta(days=signal.window_days))
    owner = ["user_id"]
    if within == "session":
        counts &= F.col("session_id").isNotNull()
        owner.append("session_id")
    step = F.col("session_step") if "session_step" in events.columns else F.lit(0)
    return events.where(counts).select(
        # Told apart by 64 bits: far fewer bytes travel.
        F.xxhash64(*owner).alias("u"),
        "item_id",
        F.unix_micros(time).alias("at"),
        F.coalesce(step, F.lit(0)).cast("int").alias("step"),
    )


def check_sessions(events: DataFrame, *, name: str) -> None:
    """Look for one event with a session.

    Raises
    ------
    NothingToDo
        If there is none.
    """
    if "session_id" not in events.columns or events.where(F.col("session_id").isNotNull()).isEmpty():
        raise NothingToDo(
            f"{name}: no event has a session, so nothing happened within one; set retrievers.{name}.within to history"
        )
