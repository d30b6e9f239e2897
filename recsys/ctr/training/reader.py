"""Row groups of Parquet shards as encoded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.ctr.base import Floats, RowColumns, Shard
from recsys.ctr.files import filesystem
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.inputs.values import as_text, hash_codes, one_chunk
from recsys.errors import DataError

Codes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Encoded rows: ids (n, i) int32; dense (n, d) float32; all others (n,).

    Attributes
    ----------
    weight : array of float32
        Weight in the loss; 0 for padding.
    stands : array of float32
        How many rows of the population this one stands for: 1 / sample_rate.
    group : array of uint64
        Code of the list that the row is of; 0 everywhere where there are no lists.
    """

    ids: npt.NDArray[np.int32]
    dense: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    stands: npt.NDArray[np.float32]
    group: Codes

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: npt.NDArray[np.int64] | slice) -> Rows:
        """Return the rows at these positions."""
        return Rows(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return Rows(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)))

    def padded(self, size: int) -> Rows:
        """Return exactly `size` rows, padded with copies of these rows that have weight 0."""
        n = len(self)
        if n == size:
            return self
        out = self.take(np.arange(size) % n)
        out.weight[n:] = 0.0  # `take` has copied it
        return out


@dataclass(frozen=True)
class Reader:
    """Reads row groups of shards and encodes the rows that have a label.

    Attributes
    ----------
    weigh : bool
        Weight rows by 1 / sample_rate in the loss.
    """

    spec: FittedSpec
    layout: Layout
    columns: RowColumns
    weigh: bool

    def row_groups(self, shards: Sequence[Shard]) -> list[tuple[str, int]]:
        """Return (path, index) of every row group, in order."""
        out: list[tuple[str, int]] = []
        for shard in shards:
            fs, path = filesystem(shard.path)
            with fs.open_input_file(path) as handle:
                out += [(shard.path, index) for index in range(pq.ParquetFile(handle).num_row_groups)]
        return out

    def names(self, shards: Sequence[Shard]) -> set[str]:
        """Return the columns of the first shard; none if there is no shard."""
        for shard in shards[:1]:
            fs, path = filesystem(shard.path)
            with fs.open_input_file(path) as handle:
                return set(pq.ParquetFile(handle).schema_arrow.names)
        return set()

    def table(self, group: tuple[str, int], columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of a row group that have a label: these columns beside it, or all that the model needs."""
        fs, path = filesystem(group[0])
        label = self.columns.label
        needed = columns if columns is not None else [*self.spec.source_columns, *self.columns.names]
        wanted = list(dict.fromkeys([*needed, label]))
        with fs.open_input_file(path) as handle:
            file = pq.ParquetFile(handle)
            missing = sorted(set(wanted) - set(file.schema_arrow.names))
            if missing:
                raise DataError(f"{group[0]} lacks the columns {', '.join(missing)}")
            read = file.read_row_group(group[1], columns=wanted)
        return read.filter(pc.is_valid(read.column(label))) if read.column(label).null_count else read

    def encode(self, table: pa.Table) -> Rows:
        """Encode what :meth:`table` read."""
        packed = self.layout.pack(self.spec.encode(table), table.num_rows)
        label, rate = outcome(table, self.columns.label, self.columns.sample_rate)
        stands = 1.0 / rate
        weight = inverse_propensities(table, self.columns) * (stands if self.weigh else 1.0)
        return Rows(
            packed.ids,
            packed.dense,
            label.astype(np.float32),
            weight.astype(np.float32),
            stands.astype(np.float32),
            lists_of(table, self.columns.group),
        )


def outcome(table: pa.Table, label: str, sample_rate: str | None) -> tuple[Floats, Floats]:
    """Return labels and sampling rates as float64.

    Raises
    ------
    DataError
        If a label is not 0 or 1, or a rate is outside (0, 1].
    """
    labels = _numbers(table, label)
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError(f"column {label} must hold 0 or 1 in every row of the examples")
    if sample_rate is None:
        return labels, np.ones_like(labels)
    rates = _numbers(table, sample_rate)
    if not ((rates > 0) & (rates <= 1)).all():
        raise DataError(f"column {sample_rate} must hold a probability above 0 in every row of the examples")
    return labels, rates


def inverse_propensities(table: pa.Table, columns: RowColumns) -> Floats:
    """Return 1 / propensity, at most `columns.clip`; 1 where the propensity is unknown.

    Raises
    ------
    DataError
        If a propensity is outside (0, 1].
    """
    if columns.propensity is None:
        return np.ones(table.num_rows)
    values = _numbers(table, columns.propensity)
    unknown = np.isnan(values)
    if not (unknown | ((values > 0) & (values <= 1))).all():
        raise DataError(f"column {columns.propensity} must hold a probability above 0, or nothing")
    weights: Floats = np.minimum(1.0 / np.where(unknown, 1.0, values), columns.clip)
    return weights


def lists_of(table: pa.Table, group: str | None) -> Codes:
    """Return a 64-bit code of the list of each row; 0 without a column.

    Raises
    ------
    DataError
        If a row is of no list.
    """
    if group is None:
        return np.zeros(table.num_rows, dtype=np.uint64)
    column = one_chunk(table.column(group))
    if column.null_count:
        raise DataError(f"column {group} names no list in {column.null_count:,} of {table.num_rows:,} examples")
    return hash_codes(as_text(column, group))


def _numbers(table: pa.Table, name: str) -> Floats:
    values: Any = table.column(name).to_numpy()
    return np.asarray(values, dtype=np.float64)
