"""One source's rows onto the contract: every value typed, every broken rule named. No row is lost here.

The frame that comes out has the table's mappable columns and `attributes`, and beside them
`SOURCE_NAME`, `RAW`, `FILE`, `PASSED_OVER` (not of this source, or of an ignored type) and `REASONS_TEXT`
(the reasons, joined by `SEPARATOR`; empty for a clean row).
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import tables
from recsys.config.dataset import BROKEN, FILE, RAW, TIME_COLUMN, ColumnMapping, Source, mappable_columns
from recsys.errors import ConfigError
from recsys.tables import ANONYMOUS_PREFIX
from recsys.transforms.cleaning import rules, values
from recsys.transforms.cleaning.rules import Bounds

SOURCE_NAME, PASSED_OVER, REASONS_TEXT, LATEST = "__source_name", "__passed_over", "__reasons", "__latest"
SEPARATOR = ";"
_GIVEN = "__given_"
_IDS = frozenset(["event_id", "user_id", "item_id", "session_id", "list_id"])


def map_source(frame: DataFrame, source: Source, *, timezone: str, bounds: Bounds) -> DataFrame:
    """Map the rows that a reader gave onto the contract of the source's table.

    Parameters
    ----------
    frame : DataFrame
        The source's own columns with `RAW`, `FILE` and `BROKEN`.
    timezone : str
        Zone of times without an offset, where the column's mapping names none.
    bounds : Bounds
        What the rules compare with.

    Raises
    ------
    ConfigError
        If Spark can't make sense of an expression of the mapping, or a time that is a number has no format.
    """
    given = _given(frame, source)
    kinds = {field.name: field.dataType for field in given.schema.fields}
    _check_kinds(source, kinds)
    present = given.select(*_carried(given), *(_present(name, kinds, source) for name in _names(source)))
    kinds = {field.name: field.dataType for field in present.schema.fields}
    converted = present.select("*", *(_typed(name, kinds, source, timezone) for name in source.columns))
    whole = converted.select("*", *_stand_ins(source))
    reasons = F.when(F.col(BROKEN), F.lit("broken_record")).otherwise(F.concat_ws(SEPARATOR, *_reasons(source, bounds)))
    return whole.select(
        F.lit(source.name).alias(SOURCE_NAME),
        FILE,
        F.when(~F.col(PASSED_OVER), F.col(RAW)).alias(RAW),
        PASSED_OVER,
        F.when(F.col(PASSED_OVER), F.lit("")).otherwise(reasons).alias(REASONS_TEXT),
        *(F.col(_final(name, source)).alias(name) for name in _ordered(source)),
        _attributes(source).alias("attributes"),
        *([F.col(_given_name("__latest")).alias(LATEST)] if source.latest_by else []),
    )


def _names(source: Source) -> list[str]:
    """What the mapping fills: contract columns, then attributes, then the tie-breaker."""
    latest = ["__latest"] if source.latest_by else []
    return [*source.columns, *(f"attributes.{name}" for name in source.attributes), *latest]


def _mapping(name: str, source: Source) -> ColumnMapping:
    if name == "__latest" and source.latest_by:
        return source.latest_by
    if name.startswith("attributes."):
        return source.attributes[name.removeprefix("attributes.")]
    return source.columns[name]


def _given_name(name: str) -> str:
    return _GIVEN + name


def _ref(name: str) -> str:
    return "`" + _given_name(name).replace("`", "``") + "`"


# -- what the source holds


def _given(frame: DataFrame, source: Source) -> DataFrame:
    wanted = {name: _column(_mapping(name, source)) for name in _names(source)}
    condition = F.expr(source.where) if source.where is not None else F.lit(True)
    passed_over = ~F.col(BROKEN) & ~F.coalesce(condition, F.lit(False))
    if source.ignore_event_types:
        kind = F.trim(wanted["event_type"].cast("string"))
        passed_over = passed_over | (~F.col(BROKEN) & F.coalesce(kind.isin(*source.ignore_event_types), F.lit(False)))
    selected = [column.alias(_given_name(name)) for name, column in wanted.items()]
    try:
        return frame.select(RAW, FILE, BROKEN, passed_over.alias(PASSED_OVER), *selected)
    except (AnalysisException, ParseException) as error:
        raise ConfigError(_culprit(frame, source, error)) from error


def _column(mapping: ColumnMapping) -> Column:
    if mapping.column is not None:
        return F.col("`" + mapping.column.replace("`", "``") + "`")
    return F.expr(mapping.expr) if mapping.expr is not None else F.lit(mapping.literal)


def _culprit(frame: DataFrame, source: Source, error: Exception) -> str:
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
    table = tables.BY_NAME[source.table]
    for name, mapping in source.columns.items():
        kind = kinds[_given_name(name)]
        if table.column(name).type == "timestamp" and isinstance(kind, T.NumericType) and not mapping.format:
            raise ConfigError(
                f"source {source.name}, {name}: the time is a number ({kind.simpleString()}); say what it counts with "
                "format: unix_s, unix_ms or unix_us"
            )
        is_list = isinstance(kind, T.ArrayType) or mapping.separator is not None
        if name in source.explode and not is_list:
            raise ConfigError(
                f"source {source.name}, {name}: explode expects a list, found {kind.simpleString()}; "
                "give a separator if the text holds one"
            )


def _carried(frame: DataFrame) -> list[str]:
    return [name for name in frame.columns if not name.startswith(_GIVEN)]


def _present(name: str, kinds: dict[str, T.DataType], source: Source) -> Column:
    kind, ref, nothing = kinds[_given_name(name)], _ref(name), source.null_values
    if name not in source.explode:
        return F.expr(values.present(ref, kind, nothing)).alias(_given_name(name))
    separator = _mapping(name, source).separator
    if separator is not None:
        # Split by Java's rules for a literal text, keeping empty ends: they are elements too.
        pattern = values.text_literal(f"\\Q{separator}\\E")
        ref, kind = f"split({ref}, {pattern}, -1)", T.ArrayType(T.StringType())
    element = kind.elementType if isinstance(kind, T.ArrayType) else T.StringType()
    return F.expr(f"transform({ref}, x -> {values.present('x', element, nothing)})").alias(_given_name(name))


# -- what the contract wants


def _typed(name: str, kinds: dict[str, T.DataType], source: Source, timezone: str) -> Column:
    wanted = tables.BY_NAME[source.table].column(name).type
    mapping, kind, ref = source.columns[name], kinds[_given_name(name)], _ref(name)
    zone = mapping.timezone or timezone

    def convert(value: str, found: T.DataType) -> str:
        return values.typed(value, found, wanted, format=mapping.format, zone=zone)

    if name in source.explode and isinstance(kind, T.ArrayType):
        return F.expr(f"transform({ref}, x -> {convert('x', kind.elementType)})").alias(name)
    return F.expr(convert(ref, kind)).alias(name)


def _stand_ins(source: Source) -> list[Column]:
    """Who has no user id is known by the session; the source's event type becomes the contract's."""
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
    return F.when(kind.isin(*tables.EVENT_TYPES), kind)


def _final(name: str, source: Source) -> str:
    stands_in = {"user_id": source.table != "items", "event_type": source.table == "events"}
    return f"__{name}" if stands_in.get(name, False) else name


def _ordered(source: Source) -> list[str]:
    names = [name for name in mappable_columns(source.table) if name in source.columns]
    return names if "user_id" in names or source.table == "items" else [*names, "user_id"]


def _attributes(source: Source) -> Column:
    if not source.attributes:
        return F.lit(None).cast("map<string,string>")
    pairs = []
    # By name: the order of the mapping must not reach the hash of a row.
    for name in sorted(source.attributes):
        pairs += [F.lit(name), F.col(_ref(f"attributes.{name}")).cast("string")]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())


# -- what is wrong with it


def _reasons(source: Source, bounds: Bounds) -> list[Column]:
    found: list[Column | None] = []
    for name in source.columns:
        if name in source.explode:
            found += _list_reasons(name, source)
        else:
            found += _value_reasons(name, source, bounds)
    if source.table in TIME_COLUMN:
        found.append(rules.missing("user_id", F.col("__user_id")))
        found += rules.outside_of_time(F.col(TIME_COLUMN[source.table]), bounds)
    found += [
        rules.bad_encoding("attributes", F.col(_ref(f"attributes.{name}")).cast("string")) for name in source.attributes
    ]
    found += _side_by_side(source, bounds)
    return [column for column in found if column is not None]


def _value_reasons(name: str, source: Source, bounds: Bounds) -> list[Column | None]:
    table = tables.BY_NAME[source.table]
    given, value = F.col(_ref(name)), F.col(name)
    wanted = table.column(name).type
    needed = not table.column(name).nullable and name not in ("event_id", "valid_from", "available")
    if source.table in TIME_COLUMN and name == "user_id":
        needed = False
    found: list[Column | None] = [rules.missing(name, given)] if needed else []
    if wanted == "string":
        found.append(rules.bad_encoding(name, value))
        found.append(rules.too_long(name, value, bounds) if name in _IDS else None)
    elif wanted == "timestamp":
        found.append(rules.bad_time(name, given, value))
    elif wanted == "double":
        found += [rules.bad_number(name, given, value), rules.in_range(name, value)]
    else:
        found += [rules.bad_type(name, given, value), rules.in_range(name, value)]
    if name == "event_type":
        found.append(rules.reason(given.isNotNull() & F.col("__event_type").isNull(), "unknown_event_type"))
    return found


def _list_reasons(name: str, source: Source) -> list[Column | None]:
    given, value = F.col(_ref(name)), F.col(name)
    if name == "item_id":
        nothing = given.isNull() | (F.size(given) <= 0) | F.exists(given, lambda x: x.isNull())
        wrong = F.exists(value, lambda x: x.contains(rules.REPLACEMENT))
        return [rules.reason(nothing, "missing:item_id"), rules.reason(wrong, "bad_encoding:item_id")]
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


def _side_by_side(source: Source, bounds: Bounds) -> list[Column]:
    if not source.explode:
        return []
    items = F.col(_ref("item_id"))
    others: Sequence[Column] = [F.col(_ref(name)) for name in source.explode if name != "item_id"]
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
