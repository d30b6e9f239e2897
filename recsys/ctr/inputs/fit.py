"""Fitting a feature spec on the training split.

What reaches the driver is bounded by the spec: one row of statistics, the vocabularies (at most `max_vocabulary` values
each), and counts of values rounded to three digits for quantile buckets and profiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, Row
from pyspark.sql import types as T

from recsys.ctr.inputs.groups import Fills, group_fills
from recsys.ctr.inputs.passes import (
    ROWS,
    SEQUENCE,
    SIGNIFICANT_DIGITS,
    moments,
    number_counts,
    quantile_boundaries,
    statistics,
    top_values,
    useless,
    vocabularies,
)
from recsys.ctr.inputs.profiles import BINS, profile
from recsys.ctr.inputs.scaling import scaled
from recsys.ctr.inputs.seen import DroppedInput
from recsys.ctr.inputs.settings import InputSpec, contradiction
from recsys.ctr.inputs.spec import FIRST_ID, EmbeddingTable, FittedInput, FittedSpec
from recsys.errors import ConfigError, DataError, NothingToDo
from recsys.progress import note
from recsys.settings import nearest

TEXT_TYPES = (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.BooleanType, T.DateType)
NUMBER_TYPES = (T.NumericType, T.BooleanType)
EMBEDDED = ("vocabulary", "hash", "buckets")
LARGEST_SET = 100
"""Values of a set that are used where the settings do not say, even if a training row has more."""


def fit_spec(df: DataFrame, inputs: Sequence[InputSpec]) -> FittedSpec:
    """Fit vocabularies, means and buckets on a training split.

    Parameters
    ----------
    df : DataFrame
        Training examples, with at least the source columns of the inputs.
    inputs : sequence of InputSpec
        What becomes of which column. An input whose column is null or constant throughout is dropped, with a note.

    Returns
    -------
    FittedSpec
        The same for the same rows, however they are partitioned: ties break on values, numbers keep six digits.

    Raises
    ------
    ConfigError
        If a column is missing or has the wrong type, or `shares` names no suitable input.
    NothingToDo
        If there is no row.
    DataError
        If the rows of a vector differ in width.
    """
    check_inputs(df.schema, inputs)
    stats = statistics(df, inputs)
    if stats is None or stats[ROWS] == 0:
        raise NothingToDo(
            "the training split is empty; run ctr_examples for this as_of, or widen ctr_examples.window_days"
        )
    dropped = tuple(DroppedInput(item.name, why) for item in inputs if (why := useless(item, stats)))
    for drop in dropped:
        note(f"input {drop.name} is left out: {drop.why} in the training split")
    by_name = {item.name: item for item in inputs}
    kept = [item for item in inputs if item.name not in {drop.name for drop in dropped}]
    values = vocabularies(df, kept, by_name)
    numbers = number_counts(df, [item for item in kept if item.kind == "numeric"])
    top = top_values(df, [item for item in kept if item.kind == "categorical"], BINS)
    limits = {
        item.name: quantile_boundaries(numbers[item.name], item.buckets) for item in kept if item.transform == "buckets"
    }
    fills = group_fills(df, kept)
    places = moments(df, {item.source: _width(item, stats) for item in kept if item.kind == "vector"})
    owners = dict.fromkeys(item.shares or item.name for item in kept if item.transform in EMBEDDED)
    fitted = [
        _fitted(item, stats, limits.get(item.name, ()), places, numbers.get(item.name, ()), fills.get(item.name))
        for item in kept
    ]
    return FittedSpec(
        inputs=tuple(fitted),
        tables=tuple(_table(by_name[name], values.get(name, ()), len(limits.get(name, ()))) for name in owners),
        dropped=dropped,
        profiles=tuple(profile(i, stats, numbers.get(i.name, ()), top.get(i.name, ())) for i in fitted),
    )


def check_inputs(schema: T.StructType, inputs: Sequence[InputSpec]) -> None:
    """Check that every input can be made from columns of these types.

    Raises
    ------
    ConfigError
        As :func:`fit_spec`.
    """
    problem = contradiction(inputs)
    if problem is not None:
        raise ConfigError(problem)
    types = {field.name: field.dataType for field in schema.fields}
    for item in inputs:
        _check_type(item, types)


def _check_type(item: InputSpec, types: dict[str, T.DataType]) -> None:
    if item.source not in types:
        hint = nearest(item.source, sorted(types), "they have")
        raise ConfigError(f"input {item.name}: the examples have no column {item.source}; {hint}")
    if item.by is not None and not isinstance(types.get(item.by), TEXT_TYPES):
        raise ConfigError(f"input {item.name}: by names {item.by}, which is no column of categories")
    found = types[item.source]
    inner = found.elementType if isinstance(found, T.ArrayType) else found
    fits = isinstance(inner, NUMBER_TYPES if item.kind in ("numeric", "vector") else TEXT_TYPES)
    if not fits or isinstance(found, T.ArrayType) != (item.kind in ("sequence", "multi_hot", "vector")):
        raise ConfigError(
            f"input {item.name}: column {item.source} is {found.simpleString()}, which does not fit a {item.kind} input"
        )


def _width(item: InputSpec, stats: Row) -> int:
    least, most = stats[f"{item.name}__least"], stats[f"{item.name}__most"]
    if least != most:
        raise DataError(
            f"input {item.name}: column {item.source} holds arrays of {least} to {most} numbers; a vector needs as "
            "many in every row"
        )
    return int(most)


def _length(item: InputSpec, stats: Row) -> int:
    if item.kind == "sequence":
        return item.length or SEQUENCE
    return item.length or min(int(stats[f"{item.name}__most"]), LARGEST_SET) if item.kind == "multi_hot" else 1


def _fitted(
    item: InputSpec,
    stats: Row,
    limits: tuple[float, ...],
    places: Mapping[str, tuple[tuple[float, float], ...]],
    counts: Sequence[tuple[float, int]],
    fills: Fills | None,
) -> FittedInput:
    embedded = item.transform in EMBEDDED
    values: dict[str, Any] = {}
    if item.kind == "numeric" and not embedded:
        mean, std = (stats[f"{item.name}__{which}"] for which in ("mean", "std"))
        values = {name: _rounded_all(value) for name, value in scaled(item, counts, mean=mean, std=std).items()}
        values["std"] = values["std"] if values["std"] > 0 else 1.0
        values["indicator"] = stats[f"{item.name}__known"] < stats[ROWS]
    if fills is not None:
        values |= {"by": item.by, "groups": fills[0], "fills": _rounded_all(fills[1])}
    if item.kind == "vector":
        values = {
            "means": tuple(_rounded(mean) for mean, _ in places[item.source]),
            "stds": tuple(_rounded(std) or 1.0 for _, std in places[item.source]),
            "indicator": stats[f"{item.name}__known"] < stats[ROWS],
        }
    return FittedInput(
        name=item.name,
        source=item.source,
        kind=item.kind,
        transform=item.transform,
        table=(item.shares or item.name) if embedded else None,
        length=_length(item, stats),
        l2=item.l2,
        **{"boundaries": limits, **values},
    )


def _table(owner: InputSpec, vocabulary: tuple[str, ...], limits: int) -> EmbeddingTable:
    if owner.transform == "vocabulary":
        return EmbeddingTable(owner.name, owner.width, FIRST_ID + len(vocabulary), vocabulary)
    return EmbeddingTable(
        owner.name, owner.width, FIRST_ID + (owner.buckets if owner.transform == "hash" else limits + 1)
    )


def _rounded_all(value: float | tuple[float, ...] | None) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(one) for one in value)
    return None if value is None else _rounded(value)


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
