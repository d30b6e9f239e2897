"""Continues what is stored of the users of a batch, so that it does not matter how events were cut into batches.

The stored events of these users from shortly before the batch on are read beside the new ones. Sessions, steps and
robots are found over both, and what changes for a stored event goes back into the table.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.ingest.repeats import content_hash
from recsys.ingest.sessions import CUT, NUMBERED, WAS, is_cut

KEPT: Final = (
    *("user_id", "item_id", "event_type", "quantity", "price", "list_id", "position", "device", "country"),
    "attributes",
)
"""What a stored event still holds as its source gave it: of two events with one id and one time, these decide."""

_DERIVED: Final = ("session_id", "session_step", "is_bot")


def window_start(first: date, gap_minutes: int) -> date:
    """Return the day from which stored events can matter for new ones that begin at a day.

    Whole days, since rates are counted by clock hours, and one day more than the longest pause within a session.
    """
    return first - timedelta(days=1 + -(-gap_minutes // 1440))


def new_only(fresh: DataFrame, before: DataFrame, small: Callable[[DataFrame], DataFrame]) -> DataFrame:
    """Leave out events whose id is stored at an earlier time than the window has: the earlier one stays.

    Parameters
    ----------
    before : DataFrame
        Stored events from before the window.
    small : callable
        Marks a frame that is no larger than the batch to be sent to all executors, if that is small enough.
    """
    ids = small(fresh.select("event_id"))
    known = before.select("event_id").join(ids, on="event_id", how="left_semi")
    return fresh.join(small(known), on="event_id", how="left_anti").select(*fresh.columns)


def with_stored(
    fresh: DataFrame,
    stored: DataFrame,
    *,
    own_ids: bool,
    own_steps: bool,
    small: Callable[[DataFrame], DataFrame],
    others: DataFrame | None = None,
) -> DataFrame:
    """Put the stored events of a batch's users beside its own; of one id the earliest event stays.

    Parameters
    ----------
    fresh : DataFrame
        Columns of `events` except `is_bot`, with `CUT` and `NUMBERED`.
    stored : DataFrame
        Rows of `events` within the window.
    own_ids : bool
        Whether an event with the same id can have other content.
    own_steps : bool
        Whether some source numbers the events of its sessions by itself.
    others : DataFrame, optional
        `user_id` of users whose stored events are wanted too.

    Returns
    -------
    DataFrame
        The columns of `fresh` and `WAS`: what a stored event's session, step and flag were; null for new events.
    """
    users = fresh.select("user_id")
    if own_ids:
        same = stored.join(small(fresh.select("event_id")), on="event_id", how="left_semi")
        users = users.unionByName(same.select("user_id"))
    if others is not None:
        users = users.unionByName(others)
    mine = stored.join(small(users.distinct()), on="user_id", how="left_semi")
    was = F.struct(*_DERIVED).alias(WAS)
    numbered = F.lit(not own_steps) | is_cut("session_id")
    known = mine.select("*", is_cut("session_id").alias(CUT), numbered.alias(NUMBERED), was)
    names = [*fresh.columns, WAS]
    nothing = F.lit(None).cast(known.schema[WAS].dataType).alias(WAS)
    united = known.select(*names).unionByName(fresh.select("*", nothing).select(*names))
    first = [F.asc("event_time"), content_hash(united, KEPT).asc()] if own_ids else []
    best = W.Window.partitionBy("event_id").orderBy(*first, F.col(WAS).isNull().asc())
    return united.select("*", F.row_number().over(best).alias("__row")).where("__row = 1").select(*names)


def changed(rows: DataFrame) -> DataFrame:
    """Return new events, and stored ones whose session, step or flag is no longer what it was."""
    same = [F.col(name).eqNullSafe(F.col(WAS).getField(name)) for name in _DERIVED]
    return rows.where(F.col(WAS).isNull() | ~(same[0] & same[1] & same[2]))
