"""The fitted feature spec: what turns a row into model inputs, for training and for scoring alike.

It is data (JSON) and needs only numpy and pyarrow, so that a training rank and a Spark executor run the same code.
Ids of a table: 0 stands for null (and for the padding of a sequence), 1 for a value that is not in the table.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ctr.inputs.lists import Lists
from recsys.ctr.inputs.seen import DroppedInput, Profile
from recsys.ctr.inputs.values import LOGGED, Array, as_numbers, as_text, hashed, nulls, one_chunk
from recsys.errors import ConfigError, DataError

NULL_ID = 0
UNKNOWN_ID = 1
FIRST_ID = 2
LARGEST_Z = 8.0
"""Standardized values are clipped here, so that one absurd price does not move the model."""

MISSING_SUFFIX = "__missing"


@dataclass(frozen=True)
class EmbeddingTable:
    """One embedding table: `size` rows (ids 0 and 1 included) of `width`, by vocabulary or by hash.

    Attributes
    ----------
    vocabulary : tuple of str, optional
        The value of id 2, 3, …; None for hashed values and for buckets.
    """

    name: str
    width: int
    size: int
    vocabulary: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FittedInput:
    """One model input as fitted.

    Attributes
    ----------
    table : str, optional
        Embedding table that the ids refer to; None for plain numbers.
    length : int
        Number of ids per row: more than 1 for sequences and sets only.
    indicator : bool
        A second input is 1 where the value is null (for numbers that were null in training).
    l2 : float, optional
        L2 on its embedding rows; None for that of the training.
    means, stds : tuple of float
        Of each place of a vector.
    low, high : float, optional
        What numbers are drawn in to, on the scale of the transform, before they are standardized.
    fill : float, optional
        What stands for null, on the same scale; None for 0 in the end.
    by : str, optional
        Column of the groups that have a number for null of their own.
    groups, fills : tuple
        These groups, and the number of each, on the same scale; `fill` or the mean stands for all others.
    boundaries, ranks : tuple of float
        Where buckets begin; of a quantile scale its points, from 0 to 1.
    """

    name: str
    source: str
    kind: str
    transform: str
    table: str | None = None
    length: int = 1
    mean: float = 0.0
    std: float = 1.0
    boundaries: tuple[float, ...] = ()
    indicator: bool = False
    l2: float | None = None
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    fill: float | None = None
    ranks: tuple[float, ...] = ()
    by: str | None = None
    groups: tuple[str, ...] = ()
    fills: tuple[float, ...] = ()

    @property
    def dense(self) -> list[str]:
        """Names of the plain numbers that it becomes."""
        if self.table is not None:
            return []
        places = [f"{self.name}__{place}" for place in range(len(self.means))] if self.kind == "vector" else [self.name]
        return places + ([self.name + MISSING_SUFFIX] if self.indicator else [])


@dataclass(frozen=True)
class FittedSpec:
    """All inputs of a model, fitted on the training split.

    Attributes
    ----------
    dropped : tuple of DroppedInput
        What was asked for and left out.
    profiles : tuple of Profile
        One per input, in their order; none where it was not fitted in Spark.
    """

    inputs: tuple[FittedInput, ...]
    tables: tuple[EmbeddingTable, ...]
    dropped: tuple[DroppedInput, ...] = ()
    profiles: tuple[Profile, ...] = ()

    @property
    def source_columns(self) -> list[str]:
        """Columns that rows must have, without repetition, in order of use."""
        named = (name for item in self.inputs for name in (item.source, item.by))
        return list(dict.fromkeys(name for name in named if name is not None))

    def encode(self, rows: pa.Table | pa.RecordBatch) -> dict[str, Array]:
        """Turn rows into arrays.

        Parameters
        ----------
        rows : pyarrow.Table or pyarrow.RecordBatch
            With at least `source_columns`.

        Returns
        -------
        dict of str to numpy.ndarray
            Ids as int32 of shape (n,), or (n, length) for sequences and sets; numbers as float32 of shape (n,), each
            place of a vector as `<name>__<place>`; `<name>__missing` as float32 where the input has an indicator.

        Raises
        ------
        DataError
            If a column is missing or its type cannot be used for the input.
        """
        missing = [name for name in self.source_columns if name not in rows.schema.names]
        if missing:
            raise DataError(f"the rows to encode lack the columns {', '.join(missing)} that the model was trained on")
        out: dict[str, Array] = {}
        for item in self.inputs:
            column = one_chunk(rows.column(item.source))
            if item.kind in ("sequence", "multi_hot"):
                out[item.name] = self._list(item, column)
            elif item.kind == "vector":
                out |= _vector(item, column)
            elif item.kind == "categorical":
                out[item.name] = self._ids(item, column)
            else:
                groups = one_chunk(rows.column(item.by)) if item.by is not None else None
                self._numbers(item, column, groups, out)
        return out

    def without(self, name: str) -> FittedSpec:
        """Return the spec without an input, and without the embedding that no other input uses."""
        inputs = tuple(item for item in self.inputs if item.name != name)
        used = {item.table for item in inputs}
        profiles = tuple(profile for profile in self.profiles if profile.name != name)
        return FittedSpec(inputs, tuple(t for t in self.tables if t.name in used), self.dropped, profiles)

    def to_json(self) -> str:
        """Return the spec as JSON, keys sorted: equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> FittedSpec:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ConfigError
            If the text is not such a spec.
        """
        try:
            data = json.loads(text)
            return cls(
                inputs=tuple(FittedInput(**_tuples(item)) for item in data["inputs"]),
                tables=tuple(EmbeddingTable(**_tuples(item)) for item in data["tables"]),
                dropped=tuple(DroppedInput(**item) for item in data["dropped"]),
                profiles=tuple(Profile(**_tuples(item)) for item in data.get("profiles", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"this is not a feature spec: {error!r}") from error

    def table(self, name: str) -> EmbeddingTable:
        """Return an embedding table by name."""
        return self._tables[name]

    @cached_property
    def _tables(self) -> dict[str, EmbeddingTable]:
        return {table.name: table for table in self.tables}

    @cached_property
    def _values(self) -> dict[str, pa.Array]:
        return {t.name: pa.array(t.vocabulary, type=pa.string()) for t in self.tables if t.vocabulary is not None}

    def _ids(self, item: FittedInput, column: pa.Array) -> Array:
        assert item.table is not None
        text = as_text(column, item.name)
        if item.transform == "hash":
            return hashed(text, buckets=self.table(item.table).size - FIRST_ID, first=FIRST_ID, null=NULL_ID)
        found = pc.index_in(text, value_set=self._values[item.table])
        ids = np.where(nulls(text), NULL_ID, UNKNOWN_ID).astype(np.int32)
        known = ~nulls(found)
        ids[known] = found.fill_null(0).to_numpy(zero_copy_only=False)[known] + FIRST_ID
        return ids

    def _list(self, item: FittedInput, column: pa.Array) -> Array:
        lists = Lists.of(column, item.name)
        ids = self._ids(item, lists.values)
        if item.kind == "sequence":
            return lists.first(ids, item.length, empty=NULL_ID)
        return lists.distinct(ids, item.length, empty=NULL_ID, last=UNKNOWN_ID)

    def _numbers(self, item: FittedInput, column: pa.Array, groups: pa.Array | None, out: dict[str, Array]) -> None:
        values = as_numbers(column, item.name)
        null = ~np.isfinite(values)
        if item.transform == "buckets":
            ids = np.searchsorted(np.asarray(item.boundaries), values, side="right") + FIRST_ID
            out[item.name] = np.where(null, NULL_ID, ids).astype(np.int32)
            return
        if item.transform in LOGGED:
            values = np.sign(values) * np.log1p(np.abs(values))
        fill = _fill(item, groups)
        if fill is not None:
            values = np.where(null, fill, values)
        if item.low is not None:
            values = np.clip(values, item.low, item.high)
        scaled = _scaled(item, values)
        out[item.name] = (np.where(null, 0.0, scaled) if fill is None else scaled).astype(np.float32)
        if item.indicator:
            out[item.name + MISSING_SUFFIX] = null.astype(np.float32)


def _fill(item: FittedInput, groups: pa.Array | None) -> float | Array | None:
    """What stands for null: one number, that of each row's group, or None for the middle of the scale."""
    if groups is None or not item.groups:
        return item.fill
    other = item.mean if item.fill is None else item.fill
    place = pc.index_in(as_text(groups, item.name), value_set=pa.array(item.groups, pa.string()))
    known = pc.fill_null(place, len(item.groups)).to_numpy(zero_copy_only=False)
    numbers: Array = np.asarray((*item.fills, other))
    found: Array = numbers[known]
    return found


def _scaled(item: FittedInput, values: Array) -> Array:
    """Numbers on the scale of a network: 0 to 1 by range or by rank, else standardized."""
    if item.transform == "quantile":
        return np.interp(values, item.boundaries, item.ranks)
    z = (values - item.mean) / item.std
    return np.clip(z, 0.0, 1.0) if item.transform == "minmax" else np.clip(z, -LARGEST_Z, LARGEST_Z)


def _vector(item: FittedInput, column: pa.Array) -> dict[str, Array]:
    """Standardize each place; what is null or not finite is the mean."""
    lists = Lists.of(column, item.name)
    values = lists.matrix(as_numbers(lists.values, item.name), len(item.means), name=item.name)
    z = np.clip((values - np.asarray(item.means)) / np.asarray(item.stds), -LARGEST_Z, LARGEST_Z)
    z = np.where(np.isfinite(values), z, 0.0).astype(np.float32)
    out = {f"{item.name}__{place}": z[:, place] for place in range(len(item.means))}
    return out | ({item.name + MISSING_SUFFIX: lists.null.astype(np.float32)} if item.indicator else {})


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
