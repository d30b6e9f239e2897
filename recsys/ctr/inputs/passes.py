"""The passes over a training split that fitting a feature spec takes, in Spark: at most three, whatever the inputs."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.ctr.inputs.settings import InputSpec

SIGNIFICANT_DIGITS = 6
"""Fitted numbers are rounded to this, so that the order of a sum does not show."""
ROWS = "__rows"
_PAIRS = "array<struct<table:string,value:string>>"


def statistics(df: DataFrame, inputs: Sequence[InputSpec]) -> Row | None:
    """Return one row: the number of rows, and per input what :func:`useless` and the fitting of numbers need."""
    return df.agg(
        F.count(F.lit(1)).alias(ROWS), *(aggregate for item in inputs for aggregate in _statistics(item))
    ).first()


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


def useless(item: InputSpec, stats: Row) -> str | None:
    """Say why an input says nothing about the label, if so."""
    if item.kind == "sequence":
        return None if (stats[f"{item.name}__most"] or 0) > 0 else f"{item.source} is empty everywhere"
    known = stats[f"{item.name}__known"]
    if known == 0:
        return f"{item.source} is null everywhere"
    same = stats[f"{item.name}__min"] == stats[f"{item.name}__max"]
    return f"{item.source} never changes" if same and known == stats[ROWS] else None


def vocabularies(df: DataFrame, kept: Sequence[InputSpec], by_name: dict[str, InputSpec]) -> dict[str, tuple[str, ...]]:
    """Return the most frequent values of each vocabulary, ties in order of value, over all inputs that share it."""
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


def _pairs(item: InputSpec) -> Column:
    values = F.slice(F.col(item.source), 1, item.length).cast("array<string>")
    return F.transform(values, lambda value: _pair(item, value))


def _pair(item: InputSpec, value: Column) -> Column:
    return F.struct(F.lit(item.shares or item.name).alias("table"), value.alias("value"))


def boundaries(df: DataFrame, items: Sequence[InputSpec]) -> dict[str, tuple[float, ...]]:
    """Return the quantile boundaries of numeric inputs, from counts of values rounded to three digits."""
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
    """Return increasing boundaries that cut sorted (value, count) pairs into at most `buckets` parts of similar size.

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
                out.append(float(f"{value:.{SIGNIFICANT_DIGITS}g}"))
            target += 1
        below += n
    return tuple(out)
