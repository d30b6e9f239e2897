"""Chooses the rules that each column of a source has to keep; `rules` says what each rule is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys import data
from recsys.ingest import rules
from recsys.ingest.dataset import Source
from recsys.ingest.given import given_ref, rate_name
from recsys.ingest.mappable import IDS, REPLACEMENT, TIME_COLUMN
from recsys.ingest.rules import Bounds

_FILLED_IN: Final = ("event_id", "valid_from", "available")
"""Columns that get a value of their own where the source has none."""


def reasons(source: Source, bounds: Bounds) -> list[Column]:
    """Return one column per rule of a source: the reason where a row breaks it, else null.

    The columns refer to a frame with the values as given (`given_ref`), typed, and with their stand-ins
    (`__user_id`, `__event_type`).
    """
    found: list[Column | None] = []
    for name in source.columns:
        if name in source.explode:
            found += _list_reasons(name)
        else:
            found += _value_reasons(name, source, bounds)
        if source.columns[name].currency is not None:
            unknown = F.col(given_ref(name)).isNotNull() & F.col(rate_name(name)).isNull()
            found.append(rules.reason(unknown, f"unknown_currency:{name}"))
    if source.table in TIME_COLUMN:
        found.append(rules.missing("user_id", F.col("__user_id")))
        found += rules.outside_of_time(F.col(TIME_COLUMN[source.table]), bounds)
    found += [
        rules.bad_encoding("attributes", F.col(given_ref(f"attributes.{name}")).cast("string"))
        for name in source.attributes
    ]
    found += _parallel_reasons(source, bounds)
    return [column for column in found if column is not None]


def _value_reasons(name: str, source: Source, bounds: Bounds) -> list[Column | None]:
    column = data.BY_NAME[source.table].column(name)
    given, value = F.col(given_ref(name)), F.col(name)
    found: list[Column | None] = [rules.missing(name, given)] if _needed(name, source) else []
    if column.type == "string":
        found.append(rules.bad_encoding(name, value))
        found += [rules.bad_type(name, given, value), rules.too_long(name, value, bounds)] if name in IDS else []
    elif column.type == "timestamp":
        found.append(rules.bad_time(name, given, value))
    elif column.type == "double":
        found += [rules.bad_number(name, given, value), rules.in_range(name, value)]
    else:
        found += [rules.bad_type(name, given, value), rules.in_range(name, value)]
    if name == "event_type":
        found.append(rules.reason(given.isNotNull() & F.col("__event_type").isNull(), "unknown_event_type"))
    return found


def _needed(name: str, source: Source) -> bool:
    """Tell whether each row has to bring a value; an anonymous user is known by the session."""
    if source.columns[name].missing == "quarantine":
        return True
    if source.table in TIME_COLUMN and name == "user_id":
        return False
    return not data.BY_NAME[source.table].column(name).nullable and name not in _FILLED_IN


def _list_reasons(name: str) -> list[Column | None]:
    given, value = F.col(given_ref(name)), F.col(name)
    if name == "item_id":
        nothing = given.isNull() | (F.size(given) <= 0) | F.exists(given, lambda x: x.isNull())
        wrong = F.exists(value, lambda x: x.contains(REPLACEMENT))
        inexact = ~nothing & F.exists(value, lambda x: x.isNull())
        return [
            rules.reason(nothing, "missing:item_id"),
            rules.reason(wrong, "bad_encoding:item_id"),
            rules.reason(inexact, "bad_type:item_id"),
        ]
    pairs = F.arrays_zip(given.alias("given"), value.alias("value"))
    broken = F.exists(pairs, lambda x: rules.bad_number(name, x["given"], x["value"]).isNotNull())

    def outside(x: Column) -> Column:
        rule = rules.in_range(name, x)
        return rule.isNotNull() if rule is not None else F.lit(False)

    ranged = rules.in_range(name, F.lit(0.0)) is not None
    label = {"price": "negative", "quantity": "not_positive"}.get(name, "out_of_range")
    return [
        rules.reason(broken, f"bad_type:{name}"),
        rules.reason(F.exists(value, outside), f"{label}:{name}") if ranged else None,
    ]


def _parallel_reasons(source: Source, bounds: Bounds) -> list[Column]:
    """Return the rules of parallel lists: one length, not too many items, none twice in a shown list."""
    if not source.explode:
        return []
    items = F.col(given_ref("item_id"))
    others: Sequence[Column] = [F.col(given_ref(name)) for name in source.explode if name != "item_id"]
    differ = F.lit(False)
    for other in others:
        differ = differ | (items.isNotNull() & other.isNotNull() & (F.size(other) != F.size(items)))
    too_long = F.exists(F.col("item_id"), lambda x: F.length(x) > bounds.max_id_length)
    found = [
        rules.reason(differ, "list_lengths_differ"),
        rules.reason(F.size(items) > bounds.max_list_length, "list_too_long"),
        rules.reason(too_long, "too_long:item_id"),
    ]
    if source.table == "impressions":
        found.append(rules.reason(F.size(F.array_distinct(F.col("item_id"))) < F.size("item_id"), "repeated_item"))
    return found
