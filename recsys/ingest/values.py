"""Converts a source's values to contract types. SQL text, because Spark 3.5 has no Column function for `try_cast`.

A value that does not fit becomes null; `rules` compares it with the value as given and names the reason.
"""

from __future__ import annotations

import re

from pyspark.sql import types as T

from recsys.data.sql import literal
from recsys.ingest.mappable import UNIX_FORMATS

_OFFSET_LETTERS = re.compile(r"'[^']*'|[VzOXxZ]")
_WITH_OFFSET = r"[T ][0-9:.]+ ?[^0-9:. ].*$"
"""A time of day with something after it: Spark takes an offset or a zone name there, and refuses anything else."""
_INT_LIMIT = 2_147_483_647


def present(value: str, found: T.DataType, null_values: tuple[str, ...]) -> str:
    """Trim a text and turn what stands for no value (empty, only spaces, NaN, `null_values`) into null."""
    if isinstance(found, (T.FloatType, T.DoubleType)):
        return f"CASE WHEN NOT isnan({value}) THEN {value} END"
    if not isinstance(found, T.StringType):
        return value
    nothing = ", ".join(literal(text) for text in ("", *(text.strip() for text in null_values)))
    return f"CASE WHEN trim({value}) NOT IN ({nothing}) THEN trim({value}) END"


def typed(value: str, found: T.DataType, wanted: str, *, format: str | None, zone: str) -> str:
    """Return SQL that gives `value`, a SQL expression of type `found`, the contract type `wanted`, or null."""
    if wanted == "string":
        return _text(value, found)
    if wanted == "double":
        return _double(value, found)
    if wanted == "int":
        return _integer(value, found)
    if wanted == "timestamp":
        return _instant(value, found, format, zone)
    return f"try_cast({value} AS {wanted.upper()})" if isinstance(found, T.StringType) else f"CAST({value} AS {wanted})"


def _text(value: str, found: T.DataType) -> str:
    if isinstance(found, (T.FloatType, T.DoubleType)):
        # An id from a tool that has no integer nulls: 13085.0 means 13085.
        whole = f"CAST(CAST({value} AS BIGINT) AS STRING)"
        return f"CASE WHEN {value} = floor({value}) THEN {whole} ELSE CAST({value} AS STRING) END"
    if isinstance(found, (T.ArrayType, T.MapType, T.StructType)):
        return f"to_json({value})"
    return f"CAST({value} AS STRING)"


def _double(value: str, found: T.DataType) -> str:
    if isinstance(found, T.StringType):
        # Java alone reads 1d and 1f as numbers.
        return f"CASE WHEN right({value}, 1) BETWEEN '.' AND '9' THEN try_cast({value} AS DOUBLE) END"
    return f"CAST({value} AS DOUBLE)" if _is_number(found) else "CAST(NULL AS DOUBLE)"


def _integer(value: str, found: T.DataType) -> str:
    if isinstance(found, (T.ByteType, T.ShortType, T.IntegerType, T.BooleanType)):
        return f"CAST({value} AS INT)"
    number = _double(value, found)
    whole = f"CASE WHEN {number} = floor({number}) AND abs({number}) <= {_INT_LIMIT} THEN CAST({number} AS INT) END"
    return f"coalesce(try_cast({value} AS INT), {whole})" if isinstance(found, T.StringType) else whole


def _instant(value: str, found: T.DataType, format: str | None, zone: str) -> str:
    if isinstance(found, T.TimestampType):
        return value
    if isinstance(found, (T.DateType, T.TimestampNTZType)):
        return _local(f"CAST({value} AS TIMESTAMP)", zone)
    if format in UNIX_FORMATS:
        return _unix(value, found, UNIX_FORMATS[format])
    if not isinstance(found, T.StringType):
        return "CAST(NULL AS TIMESTAMP)"
    if format is not None and format != "iso":
        parsed = f"try_to_timestamp({value}, {literal(format)})"
        has_offset = any(not part.startswith("'") for part in _OFFSET_LETTERS.findall(format))
        return parsed if has_offset else _local(parsed, zone)
    # Without the date Spark would take a bare time of day as today's.
    parsed = f"CASE WHEN substr({value}, 5, 1) = '-' THEN try_cast({value} AS TIMESTAMP) END"
    if zone == "UTC":
        return parsed
    return f"CASE WHEN {value} RLIKE {literal(_WITH_OFFSET)} THEN {parsed} ELSE {_local(parsed, zone)} END"


def _unix(value: str, found: T.DataType, factor: int) -> str:
    if isinstance(found, T.StringType):
        whole = f"try_multiply(try_cast({value} AS BIGINT), {factor}L)"
        exact = f"try_cast(try_cast({value} AS DECIMAL(20, 6)) * {factor} AS BIGINT)"
        return f"timestamp_micros(coalesce({whole}, {exact}))"
    if isinstance(found, (T.FloatType, T.DoubleType, T.DecimalType)):
        return f"timestamp_micros(try_cast(try_cast({value} AS DECIMAL(20, 6)) * {factor} AS BIGINT))"
    if _is_number(found):
        return f"timestamp_micros(try_multiply(CAST({value} AS BIGINT), {factor}L))"
    return "CAST(NULL AS TIMESTAMP)"


def _local(instant: str, zone: str) -> str:
    """Return the instant of a wall-clock time that was read as if it were UTC."""
    return instant if zone == "UTC" else f"to_utc_timestamp({instant}, {literal(zone)})"


def _is_number(found: T.DataType) -> bool:
    return isinstance(found, (T.NumericType, T.BooleanType))
