"""Parquet shards into shuffled batches. Whole row groups are read, encoded and shuffled, never single rows.

A rank reads its own shards only. Shards, order and number of steps follow from footers and the seed, so every rank
knows what the others do without asking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.ctr.base import Shard
from recsys.ctr.files import filesystem
from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.spec import FittedSpec
from recsys.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Encoded rows: ids (n, i) int32; dense (n, d), label (n,) and weight (n,) float32."""

    ids: npt.NDArray[np.int32]
    dense: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        """Return the rows at these positions."""
        return Rows(self.ids[index], self.dense[index], self.label[index], self.weight[index])

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return Rows(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("ids", "dense", "label", "weight")))

    def padded(self, size: int) -> Rows:
        """Return exactly `size` rows, padded with copies of these rows that have weight 0."""
        n = len(self)
        if n == size:
            return self
        out = self.take(np.arange(size) % n)
        weight = out.weight.copy()
        weight[n:] = 0.0
        return Rows(out.ids, out.dense, out.label, weight)


@dataclass(frozen=True)
class Reader:
    """Reads row groups of shards and encodes them.

    Attributes
    ----------
    weigh : bool
        Weight rows by 1 / sample_rate; 1 otherwise.
    """

    spec: FittedSpec
    layout: Layout
    label: str
    sample_rate: str | None
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
        """Read one row group: these columns, or all that the model needs."""
        fs, path = filesystem(group[0])
        wanted = list(columns) if columns is not None else self._columns()
        with fs.open_input_file(path) as handle:
            file = pq.ParquetFile(handle)
            missing = sorted(set(wanted) - set(file.schema_arrow.names))
            if missing:
                raise DataError(f"{group[0]} lacks the columns {', '.join(missing)}")
            return file.read_row_group(group[1], columns=wanted)

    def encode(self, table: pa.Table) -> Rows:
        """Encode what :meth:`table` read."""
        packed = self.layout.pack(self.spec.encode(table), table.num_rows)
        label, rate = outcome(table, self.label, self.sample_rate)
        weight = 1.0 / rate if self.weigh else np.ones_like(rate)
        return Rows(packed.ids, packed.dense, label.astype(np.float32), weight.astype(np.float32))

    def _columns(self) -> list[str]:
        extra = [self.label] + ([self.sample_rate] if self.sample_rate else [])
        return list(dict.fromkeys([*self.spec.source_columns, *extra]))


def outcome(
    table: pa.Table, label: str, sample_rate: str | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return labels and sampling rates as float64.

    Raises
    ------
    DataError
        If a label is not 0 or 1, or a rate is outside (0, 1].
    """
    labels = np.asarray(table.column(label).to_numpy(), dtype=np.float64)
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError(f"column {label} must hold 0 or 1 in every row of the examples")
    if sample_rate is None:
        return labels, np.ones_like(labels)
    rates = np.asarray(table.column(sample_rate).to_numpy(), dtype=np.float64)
    if not ((rates > 0) & (rates <= 1)).all():
        raise DataError(f"column {sample_rate} must hold a probability above 0 in every row of the examples")
    return labels, rates


class Epochs:
    """Shuffled batches of fixed size, epoch after epoch.

    If all rows fit into the cache they are read and encoded once and shuffled as a whole; otherwise row groups are
    visited in random order and shuffled together, `window` of them at a time.
    """

    def __init__(
        self,
        reader: Reader,
        shards: Sequence[Shard],
        *,
        batch_size: int,
        seed: int,
        rank: int,
        cache_bytes: int,
        window: int,
    ) -> None:
        self._reader = reader
        self._groups = reader.row_groups(shards)
        self._rows = sum(s.rows for s in shards)
        self._batch_size = batch_size
        self._seed = (seed, rank)
        self._window = window
        self._cached: Rows | None = None
        self.cached = self._rows * reader.layout.row_bytes <= cache_bytes

    def batches(self, epoch: int, steps: int) -> Iterator[Rows]:
        """Yield exactly `steps` batches; rows start over when they run out, and the last batch of a pass is padded."""
        done, turn = 0, 0
        while done < steps:
            rest: Rows | None = None
            for chunk in self._chunks(epoch, turn):
                joined = chunk if rest is None else Rows.join([rest, chunk])
                whole = len(joined) // self._batch_size
                for index in range(whole):
                    yield _cut(joined, index * self._batch_size, (index + 1) * self._batch_size)
                    done += 1
                    if done == steps:
                        return
                rest = _cut(joined, whole * self._batch_size, len(joined)) if len(joined) % self._batch_size else None
            if rest is not None:
                yield rest.padded(self._batch_size)
                done += 1
            turn += 1

    def _chunks(self, epoch: int, turn: int) -> Iterator[Rows]:
        random = np.random.default_rng([*self._seed, epoch, turn])
        if self.cached:
            if self._cached is None:
                self._cached = self._read(self._groups)
            yield self._cached.take(random.permutation(len(self._cached)))
            return
        order = random.permutation(len(self._groups))
        for start in range(0, len(order), self._window):
            rows = self._read([self._groups[i] for i in order[start : start + self._window]])
            yield rows.take(random.permutation(len(rows)))

    def _read(self, groups: Sequence[tuple[str, int]]) -> Rows:
        return Rows.join([self._reader.encode(self._reader.table(group)) for group in groups])


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    part: Any = slice(start, stop)
    return Rows(rows.ids[part], rows.dense[part], rows.label[part], rows.weight[part])
