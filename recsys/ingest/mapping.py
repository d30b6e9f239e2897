"""Maps one source's rows onto the contract: every value typed, every broken rule named. No row is lost here.

The resulting frame has the table's mappable columns and `attributes`, and beside them `SOURCE_NAME`, `RAW`, `FILE`,
`SKIPPED` (the row doesn't meet `where`, or is of an ignored type) and `REASONS_TEXT` (why it is refused, joined by
`SEPARATOR`; empty for a clean row).
"""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import data
from recsys.data import ANONYMOUS_PREFIX
from recsys.ingest import values
from recsys.ingest.checks import reasons
from recsys.ingest.dataset import Source
from recsys.ingest.given import (
    LATEST,
    REASONS_TEXT,
    SEPARATOR,
    SKIPPED,
    SOURCE_NAME,
    given_name,
    given_ref,
    given_values,
    missing_name,
    rate_name,
)
from recsys.ingest.mappable import BROKEN, FILE, IDS, OTHERS, RAW, TIME_COLUMN, mappable_columns
from recsys.ingest.rules import Bounds
from recsys.ingest.tidy import MISSING_SUFFIX, flags


def map_source(frame: DataFrame, source: Source, *, timezone: str, bounds: Bounds) -> DataFrame:
    """Map the rows of a reader onto the contract of the source's table.

    Parameters
    ----------
    frame : DataFrame
        The source's own columns with `RAW`, `FILE` and `BROKEN`.
    timezone : str
        Zone of times without an offset, unless the column's mapping names another.
    bounds : Bounds
        What the rules compare with.

    Raises
    ------
    ConfigError
        If Spark can't make sense of an expression of the mapping, or a time that is a number has no format.
    """
    present = given_values(frame, source)
    kinds = {field.name: field.dataType for field in present.schema.fields}
    converted = present.select("*", *(_typed(name, kinds, source, timezone) for name in source.columns))
    whole = converted.select("*", *_stand_ins(source))
    broken = F.concat_ws(SEPARATOR, *reasons(source, bounds))
    why = F.when(F.col(BROKEN), F.lit("broken_record")).otherwise(broken)
    return whole.select(
        F.lit(source.name).alias(SOURCE_NAME),
        FILE,
        F.when(~F.col(SKIPPED), F.col(RAW)).alias(RAW),
        SKIPPED,
        F.when(F.col(SKIPPED), F.lit("")).otherwise(why).alias(REASONS_TEXT),
        *(_converted(name, source).alias(name) for name in _ordered(source)),
        _all_attributes(source, kinds).alias("attributes"),
        *([F.col(given_name(LATEST)).alias(LATEST)] if source.latest_by else []),
    )


def _typed(name: str, kinds: dict[str, T.DataType], source: Source, timezone: str) -> Column:
    wanted = data.BY_NAME[source.table].column(name).type
    mapping, kind, ref = source.columns[name], kinds[given_name(name)], given_ref(name)
    zone = mapping.timezone or timezone

    def convert(value: str, found: T.DataType) -> str:
        converted = values.typed(value, found, wanted, format=mapping.format, zone=zone)
        written = name not in IDS or mapping.as_written or not isinstance(found, T.StringType)
        return converted if written else values.exact_id(converted)

    if name in source.explode and isinstance(kind, T.ArrayType):
        return F.expr(f"transform({ref}, x -> {convert('x', kind.elementType)})").alias(name)
    return F.expr(convert(ref, kind)).alias(name)


def _stand_ins(source: Source) -> list[Column]:
    """Identify users without an id by their session, and translate the source's event types into the contract's."""
    found = []
    if source.table in TIME_COLUMN:
        known = [F.col("user_id")] if "user_id" in source.columns else []
        if "session_id" in source.columns:
            known.append(F.concat(F.lit(ANONYMOUS_PREFIX), F.col("session_id")))
        found.append(F.coalesce(*known).alias("__user_id"))
    elif source.table == "users":
        found.append(F.col("user_id").alias("__user_id"))
    if source.table == "events":
        found.append(_event_type(source).alias("__event_type"))
    return found


def _event_type(source: Source) -> Column:
    kind = F.col("event_type")
    if source.event_types:
        pairs = [F.lit(text) for pair in sorted(source.event_types.items()) for text in pair]
        return F.element_at(F.create_map(*pairs), kind)
    return F.when(kind.isin(*data.EVENT_TYPES), kind)


def _converted(name: str, source: Source) -> Column:
    """The value of a column; an amount in the currency that the mapping wants."""
    value, mapping = F.col(_final(name, source)), source.columns.get(name)
    if mapping is None or mapping.currency is None:
        return value
    rate = F.col(rate_name(name))
    return F.transform(value, lambda amount: amount * rate) if name in source.explode else value * rate


def _final(name: str, source: Source) -> str:
    stands_in = {"user_id": source.table != "items", "event_type": source.table == "events"}
    return f"__{name}" if stands_in.get(name, False) else name


def _ordered(source: Source) -> list[str]:
    names = [name for name in mappable_columns(source.table) if name in source.columns]
    return names if "user_id" in names or source.table == "items" else [*names, "user_id"]


def _attributes(source: Source) -> Column:
    found = {name: F.col(given_ref(f"attributes.{name}")).cast("string") for name in source.attributes}
    found |= {f"{name}{MISSING_SUFFIX}": _flag(name) for name in flags(source.columns)}
    if not found:
        return F.lit(None).cast("map<string,string>")
    # By name: the order of the mapping must not reach the hash of a row.
    pairs = [part for name in sorted(found) for part in (F.lit(name), found[name])]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())


def _all_attributes(source: Source, columns: Collection[str]) -> Column:
    """The attributes of the mapping, and what it does not read where that is to travel along, in the order of names."""
    own = _attributes(source)
    if OTHERS not in columns:
        return own
    named = F.map_filter(F.col(OTHERS), lambda key, _: ~key.isin(*source.attributes))
    both = F.map_concat(F.coalesce(own, F.create_map().cast("map<string,string>")), named)
    ordered = F.map_from_entries(F.array_sort(F.map_entries(both)))
    return F.coalesce(ordered, own)


def _flag(name: str) -> Column:
    return F.when(F.col(missing_name(name)), F.lit("true"))
