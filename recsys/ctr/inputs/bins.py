"""Values of inputs in bins, in numpy: Spark can't compile the code that would count many inputs at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ctr.inputs.seen import Profile
from recsys.ctr.inputs.values import LOGGED, as_numbers, as_text, nulls

NULL_BIN = 0
COUNTED = "name string, value double, n bigint"
BINNED = "name string, bin int, n bigint"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Item(Protocol):
    """What is asked of an input, fitted or not."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def source(self) -> str:
        """Its column."""
        ...

    @property
    def kind(self) -> str:
        """What the column holds."""
        ...

    @property
    def transform(self) -> str:
        """What becomes of it."""
        ...


def rounded(item: Item, column: pa.Array) -> Floats:
    """Return numbers on the scale of their transform, rounded to three digits; NaN where there is none.

    So many values at most are counted, however long the table is.
    """
    values = as_numbers(column, item.name)
    values = np.where(np.isfinite(values), values, np.nan)
    if item.transform in LOGGED:
        values = np.sign(values) * np.log1p(np.abs(values))
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (np.floor(np.log10(size)) - 2)
        digits = np.sign(values) * np.floor(size / scale + 0.5) * scale
    return np.where(values == 0, 0.0, digits)


def places(item: Item, profile: Profile, column: pa.Array) -> Ints:
    """Return the bin of each value: `NULL_BIN` for null (an empty list counts as null), then those of the profile."""
    if item.kind == "numeric":
        values = rounded(item, column)
        found = np.searchsorted(np.asarray(profile.edges), values, side="right") + 1
        return np.where(np.isnan(values), NULL_BIN, found).astype(np.int64)
    if item.kind == "categorical":
        texts = as_text(column, item.name)
        known = pc.index_in(texts, value_set=pa.array(profile.values, pa.string()))
        other = len(profile.values)
        found = pc.fill_null(known, other).to_numpy(zero_copy_only=False) + 1
        return np.where(nulls(texts), NULL_BIN, found).astype(np.int64)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    filled: Ints = (lengths > 0).astype(np.int64)
    return filled


def count_values(batches: Iterable[pa.RecordBatch], items: Sequence[Item]) -> Iterator[pa.RecordBatch]:
    """Count the rounded values of numbers in each batch: rows of `COUNTED`."""
    for batch in batches:
        for item in items:
            values = rounded(item, batch.column(item.source))
            distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
            yield _rows(item.name, pa.array(distinct), "value", counts)


def count_bins(
    batches: Iterable[pa.RecordBatch], items: Sequence[Item], profiles: Mapping[str, Profile]
) -> Iterator[pa.RecordBatch]:
    """Count the rows of each batch in the bins of each input: rows of `BINNED`."""
    for batch in batches:
        for item in items:
            found = places(item, profiles[item.name], batch.column(item.source))
            distinct, counts = np.unique(found, return_counts=True)
            yield _rows(item.name, pa.array(distinct.astype(np.int32)), "bin", counts)


def _rows(name: str, values: pa.Array, what: str, counts: Ints) -> pa.RecordBatch:
    names = pa.array([name] * len(counts), pa.string())
    return pa.RecordBatch.from_arrays([names, values, pa.array(counts, pa.int64())], names=["name", what, "n"])
