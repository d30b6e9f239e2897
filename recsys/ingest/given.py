"""What a source holds: the values that its mapping picks, as they were read, before the contract has its say."""

from __future__ import annotations

from typing import Final

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import data
from recsys.data.sql import literal, quote
from recsys.errors import ConfigError
from recsys.ingest import values
from recsys.ingest.columns import ColumnMapping, Currency
from recsys.ingest.dataset import Source
from recsys.ingest.mappable import BROKEN, FILE, IDS, OTHERS, RAW
from recsys.ingest.tidy import dropped, flags, tidied

SOURCE_NAME, SKIPPED, REASONS_TEXT, LATEST = "__source_name", "__skipped", "__reasons", "__latest"
"""Helper columns of a mapped row: its source, whether it is skipped, why it is refused, what `latest_by` says."""

SEPARATOR: Final = ";"
"""Between the reasons of a row."""

_GIVEN: Final = "__given_"
_UNQUOTE, _QUOTED_UNQUOTE = r"\E", r"\E\\E\Q"
"""What ends a literal part of a Java pattern, and how a literal part holds it."""


def given_name(name: str) -> str:
    """Return the column that holds a value as the source gave it."""
    return _GIVEN + name


def given_ref(name: str) -> str:
    """Return that column's name, quoted for SQL."""
    return quote(given_name(name))


def given_values(frame: DataFrame, source: Source) -> DataFrame:
    """Pick the values that the mapping names: blanks become null, lists become arrays.

    Parameters
    ----------
    frame : DataFrame
        The source's own columns with `RAW`, `FILE` and `BROKEN`.

    Returns
    -------
    DataFrame
        `RAW, FILE, BROKEN, SKIPPED` and one column named by `given_name` per contract column, attribute
        (`attributes.NAME`) and `LATEST`.

    Raises
    ------
    ConfigError
        If Spark can't make sense of an expression of the mapping, or a time that is a number has no format.
    """
    picked = _picked(frame, source)
    kinds = {field.name: field.dataType for field in picked.schema.fields}
    _check_kinds(source, kinds)
    # In two steps: each uses a value several times.
    carried = [name for name in picked.columns if not name.startswith(_GIVEN)]
    texts = picked.select(*carried, *(_text(name, kinds, source) for name in _names(source)))
    kinds = {field.name: field.dataType for field in texts.schema.fields}
    present = {name: _present(name, kinds, source) for name in _names(source)}
    missing = {name: present[name].isNull() for name in source.columns}
    skipped = F.col(SKIPPED) | (~F.col(BROKEN) & dropped(missing, source.columns))
    flagged = [missing[name].alias(missing_name(name)) for name in flags(source.columns)]
    return texts.select(
        *(name for name in carried if name != SKIPPED),
        skipped.alias(SKIPPED),
        *(_tidied(name, column, kinds, source) for name, column in present.items()),
        *flagged,
    )


def missing_name(name: str) -> str:
    """Return the column that says whether the source had no value for a column; there only where that is flagged."""
    return f"__missing_{name}"


def rate_name(name: str) -> str:
    """Return the column that holds what an amount is multiplied by; null where its currency has no rate."""
    return f"__rate_{name}"


def _rate(currency: Currency) -> Column:
    pairs = [F.lit(part) for pair in sorted(currency.known().items()) for part in pair]
    written = F.upper(F.trim(F.col(quote(currency.column)).cast("string")))
    return F.element_at(F.create_map(*pairs), written)


def _tidied(name: str, present: Column, kinds: dict[str, T.DataType], source: Source) -> Column:
    mapping = _mapping(name, source)
    return (tidied(present, kinds[given_name(name)], mapping) if mapping.changed else present).alias(given_name(name))


def _names(source: Source) -> list[str]:
    """What the mapping fills: contract columns, then attributes, then the tie-breaker."""
    latest = [LATEST] if source.latest_by else []
    return [*source.columns, *(f"attributes.{name}" for name in source.attributes), *latest]


def _mapping(name: str, source: Source) -> ColumnMapping:
    if name == LATEST and source.latest_by:
        return source.latest_by
    if name.startswith("attributes."):
        return source.attributes[name.removeprefix("attributes.")]
    return source.columns[name]


def _picked(frame: DataFrame, source: Source) -> DataFrame:
    wanted = {name: _column(_mapping(name, source)) for name in _names(source)}
    condition = F.expr(source.where) if source.where is not None else F.lit(True)
    skipped = ~F.col(BROKEN) & ~F.coalesce(condition, F.lit(False))
    if source.ignore_event_types:
        kind = F.trim(wanted["event_type"].cast("string"))
        skipped = skipped | (~F.col(BROKEN) & F.coalesce(kind.isin(*source.ignore_event_types), F.lit(False)))
    selected = [column.alias(given_name(name)) for name, column in wanted.items()]
    selected += [_rate(one.currency).alias(rate_name(name)) for name, one in source.columns.items() if one.currency]
    try:
        others = [OTHERS] if OTHERS in frame.columns else []
        return frame.select(RAW, FILE, BROKEN, skipped.alias(SKIPPED), *others, *selected)
    except (AnalysisException, ParseException) as error:
        raise ConfigError(_culprit(frame, source, error)) from error


def _column(mapping: ColumnMapping) -> Column:
    if mapping.column is not None:
        return F.col(quote(mapping.column))
    return F.expr(mapping.expr) if mapping.expr is not None else F.lit(mapping.literal)


def _culprit(frame: DataFrame, source: Source, error: Exception) -> str:
    """Say which expression of the mapping Spark refuses, by trying each alone."""
    for name in [*_names(source), "where"]:
        expression = source.where if name == "where" else _mapping(name, source).expr
        if expression is None:
            continue
        try:
            frame.select(F.expr(expression))
        except (AnalysisException, ParseException) as found:
            first = next(line for line in str(found).splitlines() if line.strip())
            return f"source {source.name}, {name}: expression {expression!r} can't be used: {first}"
    return f"source {source.name}: the mapping can't be used: {str(error).splitlines()[0]}"


def _check_kinds(source: Source, kinds: dict[str, T.DataType]) -> None:
    table = data.BY_NAME[source.table]
    for name, mapping in source.columns.items():
        kind = kinds[given_name(name)]
        if table.column(name).type == "timestamp" and isinstance(kind, T.NumericType) and not mapping.format:
            raise ConfigError(
                f"source {source.name}, {name}: the time is a number ({kind.simpleString()}); give its unit with "
                "format: unix_s, unix_ms or unix_us"
            )
        is_list = isinstance(kind, T.ArrayType) or mapping.separator is not None
        if name in source.explode and not is_list:
            raise ConfigError(
                f"source {source.name}, {name}: explode expects a list, found {kind.simpleString()}; "
                "give a separator if the text holds one"
            )


def _text(name: str, kinds: dict[str, T.DataType], source: Source) -> Column:
    """The texts of a column trimmed, and of one that holds lists an array of them."""
    kind, ref, mapping = kinds[given_name(name)], given_ref(name), _mapping(name, source)
    checked = source.format.type in ("csv", "json")
    if name not in source.explode:
        return F.expr(values.as_text(ref, kind, checked=checked)).alias(given_name(name))
    if mapping.separator is not None:
        # Split by Java's rules for a literal text, keeping empty ends: they are elements too.
        pattern = literal(f"\\Q{mapping.separator.replace(_UNQUOTE, _QUOTED_UNQUOTE)}\\E")
        ref, kind = f"split({ref}, {pattern}, -1)", T.ArrayType(T.StringType())
    element, value = kind.elementType if isinstance(kind, T.ArrayType) else T.StringType(), "x"
    if mapping.field is not None:
        value, element = _field("x", mapping.field, element), _inner(element, mapping.field)
    return F.expr(f"transform({ref}, x -> {values.as_text(value, element, checked=checked)})").alias(given_name(name))


def _present(name: str, kinds: dict[str, T.DataType], source: Source) -> Column:
    kind, ref = kinds[given_name(name)], given_ref(name)
    identifies = name in IDS and not _mapping(name, source).as_written
    if name in source.explode and isinstance(kind, T.ArrayType):
        one = values.present("x", kind.elementType, source.null_values, identifies=identifies)
        return F.expr(f"transform({ref}, x -> {one})").alias(given_name(name))
    return F.expr(values.present(ref, kind, source.null_values, identifies=identifies)).alias(given_name(name))


def _field(element: str, field: str, kind: T.DataType) -> str:
    """SQL for a field of an object, which is a structure, or a JSON text."""
    steps = field.split(".")
    if isinstance(kind, T.StringType):
        # The quotes of a path in brackets can't be escaped.
        return f"get_json_object({element}, {literal('$' + ''.join(f'.{step}' for step in steps))})"
    return ".".join([element, *(quote(step) for step in steps)])


def _inner(kind: T.DataType, field: str) -> T.DataType:
    for step in field.split("."):
        if not isinstance(kind, T.StructType):
            break
        kind = kind[step].dataType
    return kind
