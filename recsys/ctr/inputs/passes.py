"""The passes over a training split that fitting a feature spec takes, in Spark.

At most five, whatever the inputs, and one more (`groups`) where numbers have a fill by group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.ctr.inputs.bins import COUNTED, count_values
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.inputs.spec import FittedInput
from recsys.ctr.inputs.values import LOGGED

SIGNIFICANT_DIGITS = 6
"""Fitted numbers are rounded to this, so that the order of a sum does not show."""
ROWS = "__rows"
SEQUENCE = 20
"""Values of a sequence that are used where the settings do not say."""
_PAIRS = "array<struct<table:string,value:string>>"


def statistics(df: DataFrame, inputs: Sequence[InputSpec]) -> Row | None:
    """Return one row: the number of rows, and per input what :func:`useless` and the fitting of numbers need."""
    return df.agg(
        F.count(F.lit(1)).alias(ROWS), *(aggregate for item in inputs for aggregate in _statistics(item))
    ).first()


def moments(df: DataFrame, widths: Mapping[str, int]) -> dict[str, tuple[tuple[float, float], ...]]:
    """Return mean and deviation of each place of columns of vectors, from finite values; 0 and 0 without any."""
    places = [(source, place) for source, width in widths.items() for place in range(width)]
    if not places:
        return {}
    finite = [_finite(F.get(F.col(source), F.lit(place)).cast("double")) for source, place in places]
    row = df.agg(*(f(value) for value in finite for f in (F.avg, F.stddev_pop))).first()
    values = [0.0 if value is None else float(value) for value in row or ()]
    pairs = dict(zip(places, zip(values[::2], values[1::2], strict=True), strict=True))
    return {source: tuple(pairs[source, place] for place in range(width)) for source, width in widths.items()}


def _finite(value: Column) -> Column:
    return F.when(~F.isnan(value) & (F.abs(value) != float("inf")), value)


def _number(item: InputSpec | FittedInput) -> Column:
    finite = _finite(F.col(item.source).cast("double"))
    return F.signum(finite) * F.log1p(F.abs(finite)) if item.transform in LOGGED else finite


def text(item: InputSpec | FittedInput) -> Column:
    """Return the text of a category."""
    return F.col(item.source).cast("string")


def _statistics(item: InputSpec) -> list[Column]:
    name = item.name
    if item.kind in ("sequence", "multi_hot", "vector"):
        column = F.col(item.source)
        size = F.when(column.isNotNull(), F.size(F.array_distinct(column) if item.kind == "multi_hot" else column))
        return [
            F.count(size).alias(f"{name}__known"), F.max(size).alias(f"{name}__most"),
            F.min(size).alias(f"{name}__least"),
            F.count(F.when(size > 0, 1)).alias(f"{name}__filled"),
        ]  # fmt: skip
    value = _number(item) if item.kind == "numeric" else text(item)
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
    if item.kind in ("sequence", "multi_hot", "vector"):
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
    singles = [_pair(item, text(item)) for item in texts if item.kind == "categorical"]
    lists = [_pairs(item) for item in texts if item.kind != "categorical"]
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
    column = F.col(item.source)
    used = F.slice(column, 1, item.length or SEQUENCE) if item.kind == "sequence" else F.array_distinct(column)
    values = used.cast("array<string>")
    return F.transform(values, lambda value: _pair(item, value))


def _pair(item: InputSpec, value: Column) -> Column:
    return F.struct(F.lit(item.shares or item.name).alias("table"), value.alias("value"))


def number_counts(df: DataFrame, items: Sequence[InputSpec]) -> dict[str, list[tuple[float, int]]]:
    """Return, for each numeric input, its values rounded to three digits with their counts, smallest first."""
    if not items:
        return {}
    wanted = list(items)

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return count_values(batches, wanted)

    sources = df.select(*dict.fromkeys(item.source for item in items))
    rows = sources.mapInArrow(count, COUNTED).groupBy("name", "value").agg(F.sum("n").alias("n")).collect()
    counts: dict[str, list[tuple[float, int]]] = {item.name: [] for item in items}
    for row in rows:
        counts[row["name"]].append((row["value"], row["n"]))
    return {name: sorted(found) for name, found in counts.items()}


def top_values(df: DataFrame, items: Sequence[InputSpec], most: int) -> dict[str, list[tuple[str, int]]]:
    """Return, for each categorical input, its most frequent values with their counts; ties in order of value."""
    if not items:
        return {}
    pairs = F.array(*(F.struct(F.lit(i.name).alias("name"), text(i).alias("value")) for i in items))
    rows = (
        df.select(F.explode(pairs).alias("pair"))
        .select("pair.*")
        .where(F.col("value").isNotNull())
        .groupBy("name", "value")
        .agg(F.count(F.lit(1)).alias("n"))
        .withColumn("place", F.row_number().over(W.partitionBy("name").orderBy(F.desc("n"), "value")))
        .where(F.col("place") <= most)
        .collect()
    )
    found: dict[str, list[tuple[str, int]]] = {item.name: [] for item in items}
    for row in sorted(rows, key=lambda row: int(row["place"])):
        found[row["name"]].append((row["value"], row["n"]))
    return found


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
