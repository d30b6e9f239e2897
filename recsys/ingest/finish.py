"""Derives the rest from the rows that are kept: lists exploded, sessions, values, robot flags, histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.ingest.dataset import Source
from recsys.ingest.given import LATEST, SOURCE_NAME
from recsys.ingest.histories import build_history, merge_sightings
from recsys.ingest.lists import explode_lists
from recsys.ingest.mappable import FILE, mappable_columns
from recsys.ingest.robots import flag_robots
from recsys.ingest.sessions import CUT, NUMBERED, cut_sessions, number_steps
from recsys.ingest.shape import Shape

Parts = Sequence[tuple[Shape, DataFrame]]
"""Sources of one table by their form, each with the rows that are kept."""


def events(parts: Parts) -> DataFrame:
    """Bring events into the form of the table: every column except provenance and `is_bot`.

    Beside them are the row's file, `CUT` and `NUMBERED`.

    Sessions and steps are those of the sources; see `sessioned`.
    """
    rows = _united(parts, "events")
    sources = [source for part, _ in parts for source in part.sources]
    amount = F.coalesce("value", F.col("quantity") * F.col("price"))
    return rows.select(
        *(amount.alias("value") if name == "value" else F.col(name) for name in rows.columns if name != SOURCE_NAME),
        F.to_date("event_time").alias("event_date"),
        _lacks("session_id", sources).alias(CUT),
        _lacks("session_step", sources).alias(NUMBERED),
    )


def sessioned(rows: DataFrame, sources: Sequence[Source], *, gap_minutes: int) -> DataFrame:
    """Cut the sessions and number the steps that sources lack; `rows` are what `events` returned."""
    if any("session_id" not in source.columns for source in sources):
        rows = cut_sessions(rows, rows=F.col(CUT), gap_minutes=gap_minutes)
    if any("session_step" not in source.columns for source in sources):
        rows = number_steps(rows, rows=F.col(NUMBERED))
    return rows


def _lacks(column: str, sources: Sequence[Source]) -> Column:
    """Whether a row's source does not map a column."""
    without = [source.name for source in sources if column not in source.columns]
    return F.col(SOURCE_NAME).isin(*without) if 0 < len(without) < len(sources) else F.lit(bool(without))


def impressions(parts: Parts, robots: DataFrame | None, *, declared: Column) -> DataFrame:
    """Finish shown lists: one row per item, every column of the table except provenance, and the row's file.

    Parameters
    ----------
    declared : Column
        Whether `user_id` is a declared test account, which need not have any event.
    """
    rows = _united(parts, "impressions").drop(SOURCE_NAME)
    found = flagged(rows.select("*", F.to_date("shown_at").alias("shown_date")), robots, "shown_at")
    return found.withColumn("is_bot", F.col("is_bot") | declared)


def states(
    name: str, parts: Parts, existing: DataFrame | None, *, stamp: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Finish items or users: chain records and merged sightings into a history with what is already known."""
    entity = {"items": "item_id", "users": "user_id"}[name]
    key = (entity, "valid_from")
    state = [*(column for column in mappable_columns(name) if column not in key), "attributes"]
    found: DataFrame | None = None
    for part, rows in sorted(parts, key=lambda pair: pair[0].sighted):
        latest = [LATEST] if LATEST in rows.columns else []
        chosen = rows.select(*key, *state, FILE, *latest)
        if part.sighted:
            chosen = merge_sightings(chosen, key=key, state=state)
        chosen = chosen.select(*key, *state, FILE)
        # A record outranks a sighting of the same instant.
        found = chosen if found is None else found.unionByName(chosen.join(found, on=list(key), how="left_anti"))
    return build_history(None if found is None else stamp(found), existing, entity=entity, state=state)


def _united(parts: Parts, table: str) -> DataFrame:
    columns = [SOURCE_NAME, *mappable_columns(table), "attributes", FILE]
    frames = [
        explode_lists(rows.select(*columns), table=table) if part.listed else rows.select(*columns)
        for part, rows in parts
    ]
    return reduce(DataFrame.unionByName, frames)


def flagged(rows: DataFrame, robots: DataFrame | None, time_column: str) -> DataFrame:
    """Add `is_bot`; `robots` is what `recsys.ingest.robots.robots` found, None if there are none."""
    if robots is None:
        return rows.select("*", F.lit(False).alias("is_bot"))
    return flag_robots(rows, robots, time_column=time_column)
