"""Daily partials: what happened per entity, day and event type. Any window of days is a sum of them.

Only days that ended before the `as_of` are kept, and only those whose partial is missing or differs from the log are
computed again, so that the work of an `as_of` depends on what is new and not on the age of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Final, Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import FEATURE_WINDOWS, ITEM_DAILY, USER_DAILY, Table
from recsys.data.instants import instant_of
from recsys.errors import DataError

Entity = Literal["user", "item"]

TABLES: Final[dict[Entity, Table]] = {"user": USER_DAILY, "item": ITEM_DAILY}
"""The table that holds the partials of each entity."""

EXACT = "decimal(38,6)"
"""The type in which amounts are summed: a sum of decimals has the same bits in whatever order it is computed."""
_SUMMED: Final = (
    *("event_id", "user_id", "item_id", "event_type", "event_time", "value", "quantity", "price", "is_bot"),
)
_LARGEST = 1e20
"""Amounts beyond this (infinities and NaN included) can't be real and stay out of sums."""


def day_of(instant: datetime) -> date:
    """Return the UTC date of an instant."""
    return instant.astimezone(UTC).date()


def midnight(day: date) -> datetime:
    """Return the instant at which a UTC date begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def kept_days(as_of: datetime, window_days: int) -> date:
    """Return the first day whose partials are kept: the longest window before the earliest example."""
    return day_of(as_of) - timedelta(days=max(FEATURE_WINDOWS) + window_days + 1)


def exact(amount: Column) -> Column:
    """Turn a double into a decimal of six places, or null if it is not a plausible finite amount."""
    return F.when(F.abs(amount) < _LARGEST, amount.cast(EXACT))


def daily_partials(events: DataFrame, *, entity: Entity, days: Sequence[date] | None = None) -> DataFrame:
    """Sum events by entity, UTC day and event type.

    Parameters
    ----------
    events : DataFrame
        Rows of `recsys.data.EVENTS`.
    entity : {"user", "item"}
        What to sum by.
    days : sequence of date, optional
        The days to compute; all by default.

    Returns
    -------
    DataFrame
        The columns of `user_daily` or `item_daily`, one row per entity, day and event type. Everything but `n_all`
        counts people only.
    """
    people = ~F.col("is_bot")
    units = F.coalesce("quantity", F.lit(1.0))
    if days is not None:
        events = events.where(F.col("event_date").isin(list(days)))
    return events.groupBy(f"{entity}_id", "event_date", "event_type").agg(
        F.count(F.when(people, True)).alias("n"),
        F.count(F.lit(True)).alias("n_all"),
        F.count(F.when(people, exact(F.col("value")))).alias("value_n"),
        _total(people, F.col("value")).alias("value_sum"),
        _total(people, F.col("quantity")).alias("quantity_sum"),
        _total(people, F.col("price") * units).alias("revenue_sum"),
        F.max(F.when(people, F.col("event_time"))).alias("last_time"),
        F.sum(_hashed()).alias("checksum"),
    )


def _hashed() -> Column:
    """A hash of what partials are made of, small enough that a day's sum of them fits into 64 bits."""
    return F.pmod(F.xxhash64(*_SUMMED), F.lit(1 << 31))


def _total(wanted: Column, amount: Column) -> Column:
    return F.sum(F.when(wanted, exact(amount))).cast("double")


@dataclass(frozen=True)
class DayCounts:
    """How many events each whole day has, by the log and by the partials of each entity.

    Attributes
    ----------
    logged : mapping of date to (int, int, int)
        Events of the log, robots included, those of people, and the sum of their hashes.
    kept : mapping of str to mapping of date to (int, int, int)
        The same as the partials of an entity count them.
    """

    logged: Mapping[date, tuple[int, int, int]]
    kept: Mapping[Entity, Mapping[date, tuple[int, int, int]]]

    def stale(self, entity: Entity) -> list[date]:
        """Return the days whose partial is missing, or counts other events than the log holds now, in order.

        A day is stale if its events (robots included), or those of people, differ from its partial in number or in
        content: because of late rows, rows removed or replaced, or users found to be robots later on.
        """
        kept = self.kept[entity]
        return sorted(day for day in {*self.logged, *kept} if self.logged.get(day) != kept.get(day))


def day_counts(events: DataFrame, partials: Mapping[Entity, DataFrame], *, since: date, until: date) -> DayCounts:
    """Count the events of each day in one query (at most three rows per day of the window reach the driver).

    Parameters
    ----------
    since, until : date
        The first day, and the day after the last one.
    """
    inside = (F.col("event_date") >= F.lit(since)) & (F.col("event_date") < F.lit(until))
    one, person = F.lit(1).cast("bigint"), (~F.col("is_bot")).cast("bigint")
    counted = one.alias("n_all"), person.alias("n"), _hashed().alias("checksum")
    parts = [events.where(inside).select(F.lit("").alias("part"), "event_date", *counted)]
    for entity, partial in partials.items():
        parts.append(partial.where(inside).select(F.lit(entity).alias("part"), "event_date", "n_all", "n", "checksum"))
    summed = (
        reduce(DataFrame.unionByName, parts)
        .groupBy("part", "event_date")
        .agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("n_all", "n", "checksum")))
    )
    found: dict[str, dict[date, tuple[int, int, int]]] = {part: {} for part in ("", *partials)}
    for row in summed.collect():
        found[row["part"]][row["event_date"]] = (row["n_all"], row["n"], row["checksum"])
    return DayCounts(found[""], {entity: found[entity] for entity in partials})


def renewed(kept: DataFrame, fresh: DataFrame, *, days: Sequence[date]) -> DataFrame:
    """Put fresh partials of some days in the place of those that are kept."""
    return kept.where(~F.col("event_date").isin(list(days))).unionByName(fresh)


def first_event(events: DataFrame) -> datetime | None:
    """Return the time of the first event, if there is one (one value reaches the driver)."""
    row = events.agg(F.min(F.unix_micros("event_time")).alias("first")).head()
    return None if row is None or row["first"] is None else instant_of(row["first"])


def newest_event(events: DataFrame) -> datetime | None:
    """Return the time of the newest event, if there is one (one value reaches the driver)."""
    row = events.agg(F.max(F.unix_micros("event_time")).alias("last")).head()
    return None if row is None or row["last"] is None else instant_of(row["last"])


def require_past(events: DataFrame, as_of: datetime) -> None:
    """Check that there is an event before an instant (two values reach the driver).

    Raises
    ------
    DataError
        Naming the time that the log covers.
    """
    time = F.unix_micros("event_time")
    span = events.agg(F.min(time).alias("first"), F.max(time).alias("last")).head()
    if span is None or span["first"] is None:
        raise DataError("the table events is empty: nothing can be learned; check what clean put into quarantine")
    first, last = (instant_of(span[end]) for end in ("first", "last"))
    if first >= as_of:
        raise DataError(
            f"there is no event before {as_of:%Y-%m-%dT%H:%M:%SZ}: the log runs from {first:%Y-%m-%dT%H:%M:%SZ} to "
            f"{last:%Y-%m-%dT%H:%M:%SZ}. Choose a later --as-of"
        )


def require_complete(events: DataFrame, partials: Mapping[Entity, DataFrame], *, since: date, until: date) -> None:
    """Check that no day of the partials is stale; see `day_counts`.

    Raises
    ------
    DataError
        Naming the day and the job that computes it.
    """
    counts = day_counts(events, partials, since=since, until=until)
    for entity in partials:
        for day in counts.stale(entity)[:1]:
            raise DataError(
                f"{TABLES[entity].name} does not match the events of {day}; "
                f"run the job features for an as_of of {until} or later first"
            )
