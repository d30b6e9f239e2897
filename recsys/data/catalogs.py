"""Catalogs that callers hand in: which items there are, and what is said of them."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.data.callers import AnyFrame, Ids, column_of, spark_frame, utc
from recsys.data.sql import quote

TEXTS = ("title", "category", "brand", "currency")
_NOT_CONTENT = ("item_id", "available", "added_at")


def catalog_frame(items: AnyFrame, ids: Ids, *, like: DataFrame) -> DataFrame:
    """Return `item_id, available, added_at` of a frame of items, one row per item.

    Parameters
    ----------
    items : DataFrame or pandas.DataFrame
        With the caller's item column (or `item_id`); `available` and `added_at` where it has them.
    """
    return _grouped(_adopted(items, ids, like))


def described(items: AnyFrame, ids: Ids, *, like: DataFrame) -> DataFrame:
    """Return the catalog with what it says of items, one row per item.

    Parameters
    ----------
    items : DataFrame or pandas.DataFrame
        As `catalog_frame` takes it. `title`, `category`, `brand`, `price` and `currency` keep their names, and every
        other column is an attribute: numbers and texts as texts, lists as texts with `|` between their values.

    Returns
    -------
    DataFrame
        `item_id, available, added_at`, those of `title, category, brand, price, currency` that the frame has, and
        `attributes`, a map of texts, if it has more. Of several rows of an item the smallest values count.
    """
    frame = _adopted(items, ids, like)
    named = [name for name in (*TEXTS, "price") if name in frame.columns]
    maps = [
        name for name in frame.columns if name == "attributes" and isinstance(frame.schema[name].dataType, T.MapType)
    ]
    others = [name for name in frame.columns if name not in (*named, *maps, *_NOT_CONTENT)]
    found = [
        F.min(column_of(frame, name).cast("double" if name == "price" else "string")).alias(name) for name in named
    ]
    found += [F.min_by(name, F.to_json(name)).alias(name) for name in maps]
    grouped = _grouped(frame, *found, *(F.min(_text(frame, name)).alias(f"_{name}") for name in others))
    if not others:
        return grouped
    pairs = [part for name in others for part in (F.lit(name), F.col(quote(f"_{name}")))]
    more = F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
    both = F.map_concat(F.coalesce("attributes", F.create_map().cast("map<string,string>")), more) if maps else more
    return grouped.select(*_NOT_CONTENT, *named, both.alias("attributes"))


def added_before(catalog: DataFrame, as_of: datetime) -> DataFrame:
    """Return the items that were in the catalog before an instant; those without a date always were."""
    if "added_at" not in catalog.columns:
        return catalog
    return catalog.where(F.col("added_at").isNull() | (F.col("added_at") < F.lit(as_of)))


def _adopted(items: AnyFrame, ids: Ids, like: DataFrame) -> DataFrame:
    frame = ids.adopt(spark_frame(items, like=like))
    column_of(frame, "item_id")
    return frame.where(F.col("item_id").isNotNull())


def _grouped(frame: DataFrame, *more: Column) -> DataFrame:
    available = (
        F.coalesce(F.col("available").cast("boolean"), F.lit(True)) if "available" in frame.columns else F.lit(True)
    )
    added = utc(frame, "added_at") if "added_at" in frame.columns else F.lit(None).cast("timestamp")
    return frame.groupBy("item_id").agg(F.min(available).alias("available"), F.min(added).alias("added_at"), *more)


def _text(frame: DataFrame, name: str) -> Column:
    """A column as a text; lists are joined."""
    value, kind = column_of(frame, name), frame.schema[name].dataType
    if isinstance(kind, T.ArrayType):
        return F.array_join(value.cast("array<string>"), "|")
    return value.cast("string") if isinstance(kind, T.AtomicType) else F.to_json(value)
