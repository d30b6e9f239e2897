"""Looks up the state of an item or a user that was valid at the time of a row."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.features.daily import Entity


def with_state(
    rows: DataFrame,
    history: DataFrame,
    *,
    entity: Entity,
    columns: Mapping[str, str],
    time: str,
    known_at: bool = False,
) -> DataFrame:
    """Add columns of the state that was valid just before each row's time.

    Parameters
    ----------
    rows : DataFrame
        Rows with `<entity>_id` and the time.
    history : DataFrame
        Rows of `items` or `users`: states that do not overlap, so that each row meets at most one.
    columns : mapping of str to str
        Columns of the state, and the names that they get.
    time : str
        Column of `rows` with the instant.
    known_at : bool
        Whether a state that began at that very instant counts already (if the row itself is part of it).

    Returns
    -------
    DataFrame
        `rows` with the new columns, null if no state was valid.
    """
    states = history.select(
        F.col(f"{entity}_id").alias("_id"),
        F.col("valid_from").alias("_from"),
        F.col("valid_to").alias("_to"),
        *(F.col(name).alias(alias) for name, alias in columns.items()),
    )
    begin, end = F.col("_from"), F.col("_to")
    instant = F.col(time)
    began = begin <= instant if known_at else begin < instant
    lasts = end > instant if known_at else end >= instant
    on = (F.col(f"{entity}_id") == F.col("_id")) & began & (end.isNull() | lasts)
    return rows.join(states, on=on, how="left").drop("_id", "_from", "_to")
