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

from recsys.ctr.inputs.values import Array, as_numbers, as_text, hashed, nulls, one_chunk
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
        Number of ids per row: more than 1 for sequences only.
    indicator : bool
        A second input is 1 where the value is null (for numbers that were null in training).
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


@dataclass(frozen=True)
class DroppedInput:
    """An input that was left out at fitting, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class FittedSpec:
    """All inputs of a model, fitted on the training split."""

    inputs: tuple[FittedInput, ...]
    tables: tuple[EmbeddingTable, ...]
    dropped: tuple[DroppedInput, ...] = ()

    @property
    def source_columns(self) -> list[str]:
        """Columns that rows must have, without repetition, in order of use."""
        return list(dict.fromkeys(item.source for item in self.inputs))

    def encode(self, rows: pa.Table | pa.RecordBatch) -> dict[str, Array]:
        """Turn rows into arrays.

        Parameters
        ----------
        rows : pyarrow.Table or pyarrow.RecordBatch
            With at least `source_columns`.

        Returns
        -------
        dict of str to numpy.ndarray
            Ids as int32 of shape (n,), or (n, length) for sequences; numbers as float32 of shape (n,);
            `<name>__missing` as float32 where the input has an indicator.

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
            if item.kind == "sequence":
                out[item.name] = self._sequence(item, column)
            elif item.kind == "categorical":
                out[item.name] = self._ids(item, column)
            else:
                self._numbers(item, column, out)
        return out

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
                inputs=tuple(
                    FittedInput(**{**item, "boundaries": tuple(item["boundaries"])}) for item in data["inputs"]
                ),
                tables=tuple(_table(item) for item in data["tables"]),
                dropped=tuple(DroppedInput(**item) for item in data["dropped"]),
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

    def _sequence(self, item: FittedInput, column: pa.Array) -> Array:
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            raise DataError(f"input {item.name}: column {item.source} holds {column.type}, a sequence needs a list")
        out = np.full((len(column), item.length), NULL_ID, dtype=np.int32)
        if len(column) == 0:
            return out
        offsets = np.asarray(column.offsets).astype(np.int64)
        first, last = int(offsets[0]), int(offsets[-1])
        flat = self._ids(item, column.values.slice(first, last - first))
        lengths = np.where(nulls(column), 0, np.minimum(np.diff(offsets), item.length))
        used = np.arange(item.length)[None, :] < lengths[:, None]
        places = (offsets[:-1] - first)[:, None] + np.arange(item.length)[None, :]
        out[used] = flat[places[used]]
        return out

    def _numbers(self, item: FittedInput, column: pa.Array, out: dict[str, Array]) -> None:
        values = as_numbers(column, item.name)
        null = ~np.isfinite(values)
        if item.transform == "buckets":
            ids = np.searchsorted(np.asarray(item.boundaries), values, side="right") + FIRST_ID
            out[item.name] = np.where(null, NULL_ID, ids).astype(np.int32)
            return
        if item.transform == "log_zscore":
            values = np.sign(values) * np.log1p(np.abs(values))
        z = np.clip((values - item.mean) / item.std, -LARGEST_Z, LARGEST_Z)
        out[item.name] = np.where(null, 0.0, z).astype(np.float32)
        if item.indicator:
            out[item.name + MISSING_SUFFIX] = null.astype(np.float32)


def _table(data: dict[str, Any]) -> EmbeddingTable:
    vocabulary = data["vocabulary"]
    return EmbeddingTable(**{**data, "vocabulary": None if vocabulary is None else tuple(vocabulary)})
