"""Parquet shards into shuffled batches: whole row groups are read, encoded and shuffled, never single rows.

A rank reads its own shards only. Shards, order and number of steps follow from footers and the seed, so every rank
knows what the others do without asking them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsys.errors import ConfigError, DataError, NothingToDo
from recsys.ranking.base import Shard
from recsys.ranking.layout import Layout
from recsys.ranking.spec import FittedSpec

MANIFEST = "manifest.json"


def filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a path or URI (s3, gs, hdfs, abfs, dbfs, file or none) and the path within it."""
    if path.startswith("dbfs:/"):
        path = "/dbfs/" + path.removeprefix("dbfs:/").lstrip("/")
    if path.startswith("file:"):
        return pafs.LocalFileSystem(), "/" + path.removeprefix("file:").lstrip("/")
    for hadoop in ("s3a://", "s3n://"):
        path = "s3://" + path.removeprefix(hadoop) if path.startswith(hadoop) else path
    if "://" in path:
        fs, inner = pafs.FileSystem.from_uri(path)
        return fs, inner
    return pafs.LocalFileSystem(), path


def list_shards(directory: str) -> tuple[Shard, ...]:
    """Return the Parquet files of a directory, in order of name, with the rows that their footers tell.

    Raises
    ------
    DataError
        If there is no such directory, or no Parquet file in it.
    """
    fs, inner = filesystem(directory)
    infos = fs.get_file_info(pafs.FileSelector(inner, allow_not_found=True))
    paths = sorted(info.path for info in infos if info.is_file and info.base_name.endswith(".parquet"))
    if not paths:
        raise DataError(f"no Parquet file in {directory}; run ctr_examples for this as_of first")
    prefix = directory.removesuffix("/") + "/"
    shards = []
    for path in paths:
        with fs.open_input_file(path) as handle:
            shards.append(Shard(prefix + path.rsplit("/", 1)[-1], pq.ParquetFile(handle).metadata.num_rows))
    return tuple(shards)


def snapshot_shards(directory: str) -> dict[str, tuple[Shard, ...]]:
    """Return the shards of the splits of a finished snapshot: a directory with a manifest and a folder per split.

    Raises
    ------
    DataError
        If there is no manifest (no snapshot, or one that was never finished), or if files differ from it.
    NothingToDo
        If the training split is empty.
    """
    fs, inner = filesystem(directory.rstrip("/"))
    path = f"{inner}/{MANIFEST}"
    if not fs.get_file_info(path).is_file:
        raise DataError(
            f"{directory} holds no finished snapshot of examples ({MANIFEST} is missing); "
            "run ctr_examples for this as_of first"
        )
    with fs.open_input_stream(path) as handle:
        listed: dict[str, list[dict[str, Any]]] = json.loads(handle.read())["splits"]
    if not listed.get("train"):
        raise NothingToDo(f"the snapshot {directory} has no training examples; widen examples.window_days")
    return {split: _listed(directory.rstrip("/"), split, listed.get(split, [])) for split in ("train", "valid", "test")}


def _listed(directory: str, split: str, listed: Sequence[Mapping[str, Any]]) -> tuple[Shard, ...]:
    if not listed:
        return ()
    expected = {f"{directory}/{entry['file']}": int(entry["rows"]) for entry in listed}
    shards = list_shards(f"{directory}/{split}")
    if {shard.path: shard.rows for shard in shards} != expected:
        raise DataError(f"the {split} files in {directory} are not those of its {MANIFEST}; run ctr_examples again")
    return shards


def assign(shards: Sequence[Shard], size: int) -> list[tuple[Shard, ...]]:
    """Give every rank its shards: the largest first, each to the rank with the fewest rows so far.

    Raises
    ------
    ConfigError
        If a rank would be left without a row.
    """
    lots: list[list[Shard]] = [[] for _ in range(size)]
    rows = [0] * size
    for shard in sorted((s for s in shards if s.rows > 0), key=lambda s: (-s.rows, s.path)):
        lightest = rows.index(min(rows))
        lots[lightest].append(shard)
        rows[lightest] += shard.rows
    if min(rows) == 0:
        raise ConfigError(
            f"{len(shards)} training shards do not go round {size} ranks; lower ctr.ranks or raise examples.shards"
        )
    return [tuple(sorted(lot, key=lambda s: s.path)) for lot in lots]


def steps_per_epoch(assignment: Sequence[Sequence[Shard]], batch_size: int) -> int:
    """Steps that every rank takes per epoch: those of the rank with most rows; the others begin their shards anew."""
    return max(math.ceil(sum(s.rows for s in lot) / batch_size) for lot in assignment)


@dataclass(frozen=True)
class Rows:
    """Encoded rows: ids (n, i) int32, dense (n, d), label (n,) and weight (n,) float32, and further columns as read."""

    ids: npt.NDArray[np.int32]
    dense: npt.NDArray[np.float32]
    label: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        """Return the rows at these places."""
        return Rows(self.ids[index], self.dense[index], self.label[index], self.weight[index])

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return Rows(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("ids", "dense", "label", "weight")))

    def padded(self, size: int) -> Rows:
        """Return exactly `size` rows: what is missing repeats these rows with weight 0."""
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
        """Return the columns of the first shard; none where there is no shard."""
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

    Rows that fit into the cache are read and encoded once and shuffled as a whole; otherwise row groups are visited in
    a shuffled order and shuffled together, `window` of them at a time.
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
        """Yield exactly `steps` batches; rows begin anew when they are used up before, the last batch is padded."""
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
