"""Exact duplicates and duplicate keys: one row stays, the others are refused with a reason.

Whole rows are wide and repeats are rare, so the rows themselves are not shuffled: a narrow pass counts the hashes of
the keys, and only the rows whose hash occurs twice are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql import window as W

from recsys.ingest.given import REASONS_TEXT, SKIPPED
from recsys.ingest.mappable import FILE

KEY_HASH = "__key_hash"
PART = "__part"
_ID_DIGITS = 32
_NEXT, _NULL, _ESCAPE = "\x01", "\x02", "\x03"
_MARKS = f"[{_NEXT}-{_ESCAPE}]"
"""In the text that is hashed: between two values, in place of a null, before one of the three within a value."""


def content_hash(frame: DataFrame, columns: Sequence[str]) -> Column:
    """Return 128 bits of SHA-256 over the values of columns, as hexadecimal digits; null and empty differ."""
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    texts = [_as_text(name, kinds[name]) for name in columns]
    # A value may hold the very marks that stand between values and for null.
    marked = F.concat_ws("", *texts).rlike(_MARKS)
    escaped = [F.regexp_replace(text, _MARKS, f"{_ESCAPE}$0") for text in texts]
    joined = F.when(marked, _joined(escaped)).otherwise(_joined(texts))
    return F.substring(F.sha2(joined, 256), 1, _ID_DIGITS)


def _joined(texts: Sequence[Column]) -> Column:
    return F.concat_ws(_NEXT, *(F.coalesce(text, F.lit(_NULL)) for text in texts))


def _as_text(name: str, kind: T.DataType) -> Column:
    if isinstance(kind, T.TimestampType):
        return F.unix_micros(name).cast("string")
    if isinstance(kind, (T.ArrayType, T.MapType)):
        return F.to_json(name)
    return F.col(name).cast("string")


def key_hash(columns: Sequence[str]) -> Column:
    """Return a 64-bit hash of a clean row's key; null for rows that are not compared."""
    clean = ~F.col(SKIPPED) & (F.col(REASONS_TEXT) == "")
    return F.when(clean, F.xxhash64(*columns))


def repeated_keys(frames: Mapping[int, DataFrame]) -> DataFrame:
    """Return the hashes that occur more than once in a frame: `PART` (the frame's number) and `KEY_HASH`."""
    hashes = [
        frame.where(F.col(KEY_HASH).isNotNull()).select(F.lit(at).alias(PART), KEY_HASH) for at, frame in frames.items()
    ]
    counted = reduce(DataFrame.unionByName, hashes).groupBy(PART, KEY_HASH).agg(F.count(F.lit(1)).alias("__copies"))
    return counted.where("__copies > 1").select(PART, KEY_HASH)


@dataclass(frozen=True)
class Repeated:
    """The key hashes that occur more than once in a frame.

    Attributes
    ----------
    keys : DataFrame or tuple of int
        The hashes: a frame with `KEY_HASH`, or, where they are few, the hashes themselves, which need no join.
    """

    keys: DataFrame | tuple[int, ...]

    def without(self, frame: DataFrame) -> DataFrame:
        """Return the clean rows whose key hash no other row has."""
        clean = frame.where(F.col(KEY_HASH).isNotNull())
        if isinstance(self.keys, DataFrame):
            return clean.join(self.keys, on=KEY_HASH, how="left_anti").select(*frame.columns)
        return clean.where(~F.col(KEY_HASH).isin(*self.keys)) if self.keys else clean

    def within(self, frame: DataFrame) -> DataFrame:
        """Return the clean rows whose key hash occurs more than once."""
        if isinstance(self.keys, DataFrame):
            return frame.where(F.col(KEY_HASH).isNotNull()).join(self.keys, on=KEY_HASH, how="left_semi")
        return frame.where(F.col(KEY_HASH).isin(*self.keys))


def judged(
    frame: DataFrame, repeated: Repeated, *, key: Sequence[str], content: Sequence[str], order: Sequence[Column]
) -> DataFrame:
    """Return the clean rows whose key hash occurs more than once; `REASONS_TEXT` is empty for a row that stays.

    Parameters
    ----------
    frame : DataFrame
        Rows with `KEY_HASH`; those without one are left out.
    repeated : Repeated
        The hashes that occur more than once in it.
    key, content : sequence of str
        Columns that identify a row; all business columns.
    order : sequence of Column
        The first of a key by this order stays; ties go to the smallest content hash, then the file.
    """
    several = repeated.within(frame)
    hashed = several.select("*", content_hash(several, content).alias("__content"))
    best_first = W.Window.partitionBy(*key).orderBy(*order, F.asc("__content"), F.asc(FILE))
    ranked = hashed.select(
        "*",
        F.row_number().over(best_first).alias("__row"),
        F.first("__content").over(best_first.rowsBetween(W.Window.unboundedPreceding, 0)).alias("__kept_content"),
    )
    same = F.col("__content") == F.col("__kept_content")
    reason = F.when(F.col("__row") == 1, "").when(same, "duplicate_row").otherwise("duplicate_key")
    return ranked.withColumn(REASONS_TEXT, reason).select(*frame.columns)
