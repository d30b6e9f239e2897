"""What a search is judged by: the part of a log that follows what trials learn from."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.features.taken import is_relevant


def taken_later(
    later: DataFrame,
    events: DataFrame,
    *,
    relevant_types: Sequence[str],
    min_value: float | None,
    seen: DataFrame | None,
) -> DataFrame:
    """Return the events by which known users took something up.

    Parameters
    ----------
    later, events : DataFrame
        Rows of `recsys.data.EVENTS`: those of the horizon, and those before it.
    relevant_types, min_value
        As in `recsys.features.taken.is_relevant`.
    seen : DataFrame, optional
        `user_id, item_id` that are not to be recommended.

    Raises
    ------
    NothingToDo
        If there are none.
    """
    taken = later.where(~F.col("is_bot") & is_relevant(relevant_types, min_value))
    if seen is not None:
        taken = taken.join(seen, on=["user_id", "item_id"], how="left_anti")
    known = taken.join(events.select("user_id").distinct(), on="user_id", how="left_semi")
    if known.isEmpty():
        raise NothingToDo(
            "no user who was known before the last evaluate.horizon_days took up anything in them; search at a later "
            "--as-of, or raise evaluate.horizon_days"
        )
    return known
