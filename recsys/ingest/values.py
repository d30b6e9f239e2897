"""Converts a source's values to contract types. SQL text, because Spark 3.5 has no Column function for `try_cast`.

A value that does not fit becomes null; `rules` compares it with the value as given and names the reason.
"""

from __future__ import annotations

import re
from typing import Final

from pyspark.sql import types as T

from recsys.data.sql import literal
from recsys.ingest.mappable import REPLACEMENT, UNIX_FORMATS

_OFFSET_LETTERS = re.compile(r"'[^']*'|[VzOXxZ]")
_WITH_OFFSET = r"[T ][0-9:.]+ ?[^0-9:. ].*$"
"""A time of day with something after it: Spark takes an offset or a zone name there, and refuses anything else."""
_INT_LIMIT = 2_147_483_647

SPACES: Final = "".join(
    chr(code)
    for code in (
        *(0x00, *range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, 0x180E),
        *(*range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF),
    )
)
"""What is trimmed off texts: Unicode's spaces and line ends, marks without a width, and NUL, which fills up widths."""

_BARE_NAN: Final = '"NaN"'
"""What Spark makes of a NaN without quotes in JSON, quotes included."""
_NO_NUMBERS: Final = (
    *(sign + text for text in ("NaN", "nan", "Infinity", "INF", "Inf", "inf") for sign in ("", "-", "+")),
    *('"Infinity"', '"-Infinity"'),
)
"""How JSON, Java, Python and R write numbers that are none."""
_FLOATING_INTEGER: Final = r"^-?(0|[1-9][0-9]*)[.]0+$"
_JAVA_DOUBLE: Final = r"^-?[1-9][.][0-9]+E[0-9]+$"
"""How Java writes numbers from ten million on; Spark turns 12345678.0 in JSON into it."""
_EXACT: Final = {"float": 2**24, "double": 2**53}
"""From here on, several integers are one floating-point number."""


def trimmed(value: str, *, ends: str = SPACES) -> str:
    """Return SQL for a text without the white space, of any kind, at its ends."""
    return f"trim(BOTH {literal(ends)} FROM {value})"


def as_text(value: str, found: T.DataType, *, checked: bool = True) -> str:
    """Return SQL for a trimmed text of a text or of bytes; other values stay as they are.

    Bytes are read as UTF-8; U+FFFD stands for those that are none.

    Parameters
    ----------
    checked : bool
        Whether texts are sure to be UTF-8, as they are where a reader decoded them.
    """
    if isinstance(found, T.BinaryType) or (isinstance(found, T.StringType) and not checked):
        # A pass through Java's texts, which only those with wrong bytes need, replaces each of them.
        value = f"regexp_replace(CAST({value} AS STRING), '{REPLACEMENT}', '{REPLACEMENT}')"
        return trimmed(value)
    # Most texts begin and end with a letter or a digit, which is sooner seen than searched for in the list of spaces.
    plain = f"{value} >= '!' AND {value} < '~' AND right({value}, 1) BETWEEN '!' AND '~'"
    return f"CASE WHEN {plain} THEN {value} ELSE {trimmed(value)} END" if isinstance(found, T.StringType) else value


def present(value: str, found: T.DataType, null_values: tuple[str, ...], *, identifies: bool = False) -> str:
    """Return SQL that turns what stands for no value (empty, NaN, `null_values`) into null.

    Parameters
    ----------
    value : str
        A name: what `as_text` returned, since an expression would be repeated.
    identifies : bool
        Whether it is an id, which has one form for each whole number: `7`, `7.0` and a decimal 7.0000000000 are one.
        Leading zeros, small exponents and other texts stay as they are; infinity is no id.
    """
    if isinstance(found, (T.FloatType, T.DoubleType)):
        finite = f"abs({value}) < CAST('Infinity' AS DOUBLE)"
        return f"CASE WHEN {finite if identifies else f'NOT isnan({value})'} THEN {value} END"
    if not isinstance(found, (T.StringType, T.BinaryType)):
        return value
    nothing = ("", _BARE_NAN, *(none.strip(SPACES) for none in null_values), *(_NO_NUMBERS if identifies else ()))
    listed = ", ".join(literal(text) for text in nothing)
    return f"CASE WHEN {value} IN ({listed}) THEN NULL {_whole_numbers(value) if identifies else ''} ELSE {value} END"


def _whole_numbers(value: str) -> str:
    """The branches of a CASE that give whole numbers their one form."""
    # Few texts end in a zero after a point, or hold an E, so few are compared with a pattern.
    floating = f"endswith({value}, '0') AND instr({value}, '.') > 0 AND {value} RLIKE {literal(_FLOATING_INTEGER)}"
    number = f"CAST({value} AS DOUBLE)"
    large = f"{_is_java_double(value)} AND abs({number}) < {_EXACT['double']} AND {number} = floor({number})"
    return (
        f"WHEN {floating} THEN regexp_replace(substring_index({value}, '.', 1), '^-0$', '0') "
        f"WHEN {large} THEN CAST(CAST({number} AS BIGINT) AS STRING)"
    )


def exact_id(value: str) -> str:
    """Return SQL for the text of an id, null for a number so large that nobody knows which one it was."""
    large = f"abs(CAST({value} AS DOUBLE)) >= {_EXACT['double']}"
    return f"CASE WHEN NOT ({_is_java_double(value)} AND {large}) THEN {value} END"


def _is_java_double(value: str) -> str:
    return f"instr({value}, 'E') > 2 AND {value} RLIKE {literal(_JAVA_DOUBLE)}"


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
        # An id from a tool that has no integer nulls: 13085.0 means 13085. Of a large one nobody knows which it was.
        whole = f"CASE WHEN abs({value}) < {_EXACT[found.typeName()]} THEN CAST(CAST({value} AS BIGINT) AS STRING) END"
        return f"CASE WHEN {value} = floor({value}) THEN {whole} ELSE CAST({value} AS STRING) END"
    if isinstance(found, T.DecimalType) and found.scale > 0:
        whole = f"CAST(CAST({value} AS DECIMAL(38, 0)) AS STRING)"
        return f"CASE WHEN {value} = floor({value}) THEN {whole} ELSE rtrim('0', CAST({value} AS STRING)) END"
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
    # A year and a month alone it would take as the first of the month.
    parsed = f"CASE WHEN {value} LIKE '____-%_-_%' THEN try_cast({value} AS TIMESTAMP) END"
    if zone == "UTC":
        return parsed
    return f"CASE WHEN {value} RLIKE {literal(_WITH_OFFSET)} THEN {parsed} ELSE {_local(parsed, zone)} END"


def _unix(value: str, found: T.DataType, factor: int) -> str:
    # 22 digits before the point hold any instant in microseconds.
    exact = f"try_cast(try_cast({value} AS DECIMAL(28, 6)) * {factor} AS BIGINT)"
    if isinstance(found, T.StringType):
        whole = f"try_multiply(try_cast({value} AS BIGINT), {factor}L)"
        return f"timestamp_micros(coalesce({whole}, {exact}))"
    if isinstance(found, (T.FloatType, T.DoubleType, T.DecimalType)):
        return f"timestamp_micros({exact})"
    if _is_number(found):
        return f"timestamp_micros(try_multiply(CAST({value} AS BIGINT), {factor}L))"
    return "CAST(NULL AS TIMESTAMP)"


def _local(instant: str, zone: str) -> str:
    """Return the instant of a wall-clock time that was read as if it were UTC."""
    return instant if zone == "UTC" else f"to_utc_timestamp({instant}, {literal(zone)})"


def _is_number(found: T.DataType) -> bool:
    return isinstance(found, (T.NumericType, T.BooleanType))
