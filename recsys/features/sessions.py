"""What the running session tells of a list and of each item in it.

A session's events are those of the past (`recsys.features.history`) that carry its id, so all of this is strictly
earlier than the example, by step within the session. Nothing here needs more than the list and that past.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

_CLICK: Final = "click"


def newest_first(events: Column) -> Column:
    """Order a session's events by step, then time, then id, the newest first."""
    fields = ("session_step", "event_time", "event_id", "item_id", "event_type")
    return F.sort_array(F.transform(events, lambda event: F.struct(*(event[name] for name in fields))), asc=False)


def list_columns(session: Column, *, step: Column, instant: Column, places: Column) -> dict[str, Column]:
    """Return what the items of one list have in common.

    Parameters
    ----------
    session : Column
        Events of the session's past, as `newest_first` orders them.
    step, instant : Column
        Those of the list.
    places : Column
        Map from the list's items to their positions.
    """
    last, first = F.get(session, F.lit(0)), F.element_at(session, F.when(F.size(session) > 0, -1))
    items = session["item_id"]
    in_list = F.filter(F.array_distinct(items), lambda item: F.call_function("map_contains_key", places, item))
    return {
        "session_items": items,
        "clicked_items": F.filter(session, lambda event: event["event_type"] == _CLICK)["item_id"],
        "touched_places": F.transform(in_list, lambda item: F.element_at(places, item)),
        "last_item": last["item_id"],
        "last_event_type": last["event_type"],
        "session_seconds": _seconds(first["event_time"], instant),
        "session_idle_seconds": _seconds(last["event_time"], instant),
        "session_idle_steps": (step - last["session_step"]).cast("double"),
    }


def session_columns() -> dict[str, Column]:
    """Return the features of a row whose list (columns that start with `_`) is known; null without a session."""
    known, item, position = F.col("_session_id").isNotNull(), F.col("item_id"), F.col("position")
    last, items, places = F.col("_last_item"), F.col("_session_items"), F.col("_touched_places")
    last_price = F.element_at("_list_prices", last)
    order = index_of(item, F.array_distinct(items))
    nearest = F.array_min(F.transform(places, lambda place: F.abs(position - place)))
    features = {
        "session_events": F.size(items),
        "session_seconds": F.col("_session_seconds"),
        "session_idle_seconds": F.col("_session_idle_seconds"),
        "session_idle_steps": F.col("_session_idle_steps"),
        "session_last_event": F.col("_last_event_type"),
        "session_item_events": count_of(items, item),
        "session_item_clicks": count_of(F.col("_clicked_items"), item),
        "session_item_order": F.when(order >= 0, order),
        "is_last_item": F.coalesce(last == item, F.lit(False)).cast("double"),
        "is_last_click": F.coalesce(F.get("_clicked_items", F.lit(0)) == item, F.lit(False)).cast("double"),
        "last_item_distance": position - F.element_at("_places", last),
        "touched_distance": position - F.get(places, F.lit(0)),
        "touched_nearest": nearest,
        "list_touched": F.size(places),
        "price_to_last_item": F.when(last_price > 0, F.col("price") / last_price),
    }
    return {name: F.when(known, column) for name, column in features.items()}


def _seconds(earlier: Column, later: Column) -> Column:
    return (F.unix_micros(later) - F.unix_micros(earlier)) / 1e6


def index_of(value: Column, array: Column) -> Column:
    """Return the first place of a value in an array, from 0; -1 if it is not there, null for a null value."""
    return F.call_function("array_position", array, value) - 1


def count_of(array: Column, value: Column) -> Column:
    """Count a value in an array, without a lambda that Spark would interpret per element; null for a null value."""
    return F.size(array) - F.when(value.isNotNull(), F.size(F.call_function("array_remove", array, value)))
