"""What counts as taken up: one rule, by which past candidates are labeled and lists are judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def is_relevant(types: Sequence[str], min_value: float | None = None) -> Column:
    """Whether an event says that its item was taken up: its type is among `types`, and a rating reaches `min_value`."""
    relevant = F.col("event_type").isin(*types)
    if min_value is None:
        return relevant
    return relevant & ((F.col("event_type") != "rating") | F.coalesce(F.col("value") >= min_value, F.lit(False)))


def after_instants(events: DataFrame, instants: Sequence[datetime], *, horizon_days: int) -> DataFrame:
    """Repeat each event for every instant whose horizon it falls into: the columns of `events`, and `as_of`.

    Parameters
    ----------
    events : DataFrame
        Rows of `recsys.data.EVENTS`.
    instants : sequence of datetime
        An event belongs to an instant if it is not earlier, and earlier than `horizon_days` after it.
    """
    begin, time = F.array(*(F.lit(instant) for instant in instants)), F.col("event_time")
    micros = horizon_days * 86_400_000_000

    def holds(instant: Column) -> Column:
        return (time >= instant) & (F.unix_micros(time) < F.unix_micros(instant) + micros)

    inside = (time >= F.lit(min(instants))) & (time < F.lit(max(instants) + timedelta(days=horizon_days)))
    return events.where(inside).withColumn("as_of", F.explode(F.filter(begin, holds)))
