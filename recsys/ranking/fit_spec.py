"""Fitting a feature spec on the training split, in Spark: three passes at most, whatever the number of inputs.

What reaches the driver is bounded by the spec: one row of statistics, the vocabularies (at most `max_vocabulary` values
each), and counts of values rounded to three digits for quantile buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import Window as W
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.config.sections import InputSpec
from recsys.errors import ConfigError, NothingToDo
from recsys.progress import note
from recsys.ranking.spec import FIRST_ID, DroppedInput, EmbeddingTable, FittedInput, FittedSpec

_TEXT_TYPES = (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.BooleanType, T.DateType)
_NUMBER_TYPES = (T.NumericType, T.BooleanType)
_DIGITS = 6


def fit_spec(df: DataFrame, inputs: Sequence[InputSpec]) -> FittedSpec:
    """Fit vocabularies, means and buckets on a training split.

    Parameters
    ----------
    df : DataFrame
        Training examples, at least with the inputs' source columns.
    inputs : sequence of InputSpec
        What to make of which column. An input whose column is null or constant throughout is dropped, with a note.

    Returns
    -------
    FittedSpec
        The same for the same rows, however they are partitioned: ties break on values, figures keep six digits.

    Raises
    ------
    ConfigError
        If a column is missing, has an unfit type, or `shares` names no fitting input.
    NothingToDo
        If there is no row.
    """
    _check(df, inputs)
    stats = df.agg(
        F.count(F.lit(1)).alias("__rows"), *(aggregate for item in inputs for aggregate in _statistics(item))
    ).first()
    if stats is None or stats["__rows"] == 0:
        raise NothingToDo("the training split is empty; run ctr_examples for this as_of, or widen examples.window_days")
    dropped = tuple(DroppedInput(item.name, why) for item in inputs if (why := _useless(item, stats)))
    for drop in dropped:
        note(f"input {drop.name} is left out: {drop.why} in the training split")
    gone = {drop.name for drop in dropped}
    kept = [item for item in inputs if item.name not in gone]
    vocabularies = _vocabularies(df, kept, {item.name: item for item in inputs})
    boundaries = _boundaries(df, [item for item in kept if item.transform == "buckets"])
    fitted = tuple(_fitted(item, stats, boundaries.get(item.name, ())) for item in kept)
    tables: dict[str, EmbeddingTable] = {}
    for item in kept:
        owner = next(i for i in inputs if i.name == (item.shares or item.name))
        if item.transform in ("vocabulary", "hash", "buckets") and owner.name not in tables:
            tables[owner.name] = _table(owner, vocabularies.get(owner.name, ()), len(boundaries.get(owner.name, ())))
    return FittedSpec(inputs=fitted, tables=tuple(tables.values()), dropped=dropped)


def _check(df: DataFrame, inputs: Sequence[InputSpec]) -> None:
    by_name = {item.name: item for item in inputs}
    if len(by_name) != len(inputs):
        raise ConfigError("two inputs of ctr.inputs have the same name")
    types = {field.name: field.dataType for field in df.schema.fields}
    for item in inputs:
        if item.source not in types:
            raise ConfigError(
                f"input {item.name}: the examples have no column {item.source}; they have {', '.join(sorted(types))}"
            )
        found = types[item.source]
        inner = found.elementType if isinstance(found, T.ArrayType) else found
        fits = isinstance(inner, _NUMBER_TYPES if item.kind == "numeric" else _TEXT_TYPES)
        if not fits or isinstance(found, T.ArrayType) != (item.kind == "sequence"):
            raise ConfigError(
                f"input {item.name}: column {item.source} is {found.simpleString()}, which is no {item.kind} input"
            )
        if item.shares is not None:
            owner = by_name.get(item.shares)
            if owner is None or owner.shares is not None or owner.transform != item.transform:
                raise ConfigError(
                    f"input {item.name} shares {item.shares}: that must be an input of its own with the same transform"
                )


def _number(item: InputSpec) -> Column:
    value = F.col(item.source).cast("double")
    finite = F.when(~F.isnan(value) & (F.abs(value) != float("inf")), value)
    return F.signum(finite) * F.log1p(F.abs(finite)) if item.transform == "log_zscore" else finite


def _text(item: InputSpec) -> Column:
    return F.col(item.source).cast("string")


def _statistics(item: InputSpec) -> list[Column]:
    name = item.name
    if item.kind == "sequence":
        return [F.max(F.size(item.source)).alias(f"{name}__most")]
    value = _number(item) if item.kind == "numeric" else _text(item)
    out = [
        F.count(value).alias(f"{name}__known"),
        F.min(value).alias(f"{name}__min"),
        F.max(value).alias(f"{name}__max"),
    ]
    if item.kind == "numeric":
        out += [F.avg(value).alias(f"{name}__mean"), F.stddev_pop(value).alias(f"{name}__std")]
    return out


def _useless(item: InputSpec, stats: Row) -> str | None:
    if item.kind == "sequence":
        return None if (stats[f"{item.name}__most"] or 0) > 0 else f"{item.source} is empty everywhere"
    known = stats[f"{item.name}__known"]
    if known == 0:
        return f"{item.source} is null everywhere"
    same = stats[f"{item.name}__min"] == stats[f"{item.name}__max"]
    return f"{item.source} never changes" if same and known == stats["__rows"] else None


def _vocabularies(
    df: DataFrame, kept: Sequence[InputSpec], by_name: dict[str, InputSpec]
) -> dict[str, tuple[str, ...]]:
    texts = [item for item in kept if item.transform == "vocabulary"]
    if not texts:
        return {}
    singles = [_pair(item, _text(item)) for item in texts if item.kind == "categorical"]
    lists = [_pairs(item) for item in texts if item.kind == "sequence"]
    parts = ([F.array(*singles)] if singles else []) + [F.coalesce(part, F.array().cast(_PAIRS)) for part in lists]
    owners = {item.shares or item.name: by_name[item.shares or item.name] for item in texts}
    limits = F.create_map(*(F.lit(x) for name, o in owners.items() for x in (name, F.lit(o.min_count))))
    sizes = F.create_map(*(F.lit(x) for name, o in owners.items() for x in (name, F.lit(o.max_vocabulary))))
    order = W.partitionBy("table").orderBy(F.desc("n"), "value")
    rows = (
        df.select(F.explode(F.concat(*parts)).alias("pair"))
        .select("pair.table", "pair.value")
        .where(F.col("value").isNotNull())
        .groupBy("table", "value")
        .agg(F.count(F.lit(1)).alias("n"))
        .where(F.col("n") >= limits[F.col("table")])
        .withColumn("place", F.row_number().over(order))
        .where(F.col("place") <= sizes[F.col("table")])
        .select("table", "value", "place")
        .collect()
    )
    found: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        found.setdefault(row["table"], []).append((row["place"], row["value"]))
    return {name: tuple(value for _, value in sorted(values)) for name, values in found.items()}


_PAIRS = "array<struct<table:string,value:string>>"


def _pairs(item: InputSpec) -> Column:
    values = F.slice(F.col(item.source), 1, item.length).cast("array<string>")
    return F.transform(values, lambda value: _pair(item, value))


def _pair(item: InputSpec, value: Column) -> Column:
    return F.struct(F.lit(item.shares or item.name).alias("table"), value.alias("value"))


def _boundaries(df: DataFrame, items: Sequence[InputSpec]) -> dict[str, tuple[float, ...]]:
    if not items:
        return {}
    pairs = F.array(*(F.struct(F.lit(i.name).alias("name"), _three_digits(_number(i)).alias("value")) for i in items))
    rows = (
        df.select(F.explode(pairs).alias("pair"))
        .select("pair.*")
        .where(F.col("value").isNotNull())
        .groupBy("name", "value")
        .agg(F.count(F.lit(1)).alias("n"))
        .collect()
    )
    counts: dict[str, list[tuple[float, int]]] = {item.name: [] for item in items}
    for row in rows:
        counts[row["name"]].append((row["value"], row["n"]))
    return {item.name: quantile_boundaries(sorted(counts[item.name]), item.buckets) for item in items}


def _three_digits(value: Column) -> Column:
    scale = F.pow(F.lit(10.0), F.floor(F.log10(F.abs(value))) - 2)
    return F.when(value == 0, F.lit(0.0)).otherwise(F.round(value / scale) * scale)


def quantile_boundaries(counts: Sequence[tuple[float, int]], buckets: int) -> tuple[float, ...]:
    """Return increasing boundaries that cut sorted (value, count) pairs into at most `buckets` parts of like size.

    Examples
    --------
    >>> quantile_boundaries([(1.0, 2), (2.0, 2), (3.0, 4)], 2)
    (3.0,)
    """
    total = sum(n for _, n in counts)
    out: list[float] = []
    below, target = 0, 1
    for value, n in counts:
        while target < buckets and below >= target * total / buckets:
            if below > 0 and (not out or value > out[-1]):
                out.append(float(f"{value:.{_DIGITS}g}"))
            target += 1
        below += n
    return tuple(out)


def _fitted(item: InputSpec, stats: Row, boundaries: tuple[float, ...]) -> FittedInput:
    embedded = item.transform in ("vocabulary", "hash", "buckets")
    values: dict[str, Any] = {}
    if item.kind == "numeric" and not embedded:
        std = _rounded(stats[f"{item.name}__std"])
        values = {
            "mean": _rounded(stats[f"{item.name}__mean"]),
            "std": std if std > 0 else 1.0,
            "indicator": stats[f"{item.name}__known"] < stats["__rows"],
        }
    return FittedInput(
        name=item.name,
        source=item.source,
        kind=item.kind,
        transform=item.transform,
        table=(item.shares or item.name) if embedded else None,
        length=item.length if item.kind == "sequence" else 1,
        boundaries=boundaries,
        **values,
    )


def _table(owner: InputSpec, vocabulary: tuple[str, ...], boundaries: int) -> EmbeddingTable:
    if owner.transform == "vocabulary":
        return EmbeddingTable(owner.name, owner.width, FIRST_ID + len(vocabulary), vocabulary)
    return EmbeddingTable(
        owner.name, owner.width, FIRST_ID + (owner.buckets if owner.transform == "hash" else boundaries + 1)
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
