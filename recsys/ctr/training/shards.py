"""Parquet shards: finding them, checking them against their manifest, and dividing them among ranks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq

from recsys.ctr.base import Shard
from recsys.ctr.files import filesystem
from recsys.errors import ConfigError, DataError, NothingToDo

MANIFEST = "manifest.json"
SPLITS = ("train", "calibration", "valid", "test")


def list_shards(directory: str) -> tuple[Shard, ...]:
    """Return the Parquet files of a directory, in order of name, with the number of rows from their footers.

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
    """Return the shards of each split of a finished snapshot: a directory with a manifest and a folder per split.

    Raises
    ------
    DataError
        If there is no manifest (no snapshot, or an unfinished one), or if the files differ from it.
    NothingToDo
        If the training split is empty.
    """
    listed: dict[str, list[dict[str, Any]]] = _manifest(directory)["splits"]
    if not listed.get("train"):
        raise NothingToDo(f"the snapshot {directory} has no training examples; widen ctr_examples.window_days")
    return {split: _listed(directory.rstrip("/"), split, listed.get(split, [])) for split in SPLITS}


def snapshot_columns(directory: str) -> frozenset[str]:
    """Return the names of the columns of a finished snapshot; none where its manifest does not tell."""
    return frozenset(_manifest(directory).get("columns", ()))


def _manifest(directory: str) -> dict[str, Any]:
    fs, inner = filesystem(directory.rstrip("/"))
    path = f"{inner}/{MANIFEST}"
    if not fs.get_file_info(path).is_file:
        raise DataError(
            f"{directory} holds no finished snapshot of examples ({MANIFEST} is missing); "
            "run ctr_examples for this as_of first"
        )
    with fs.open_input_stream(path) as handle:
        found: dict[str, Any] = json.loads(handle.read())
    return found


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
            f"{len(shards)} training shards are too few for {size} ranks; "
            "lower train_ctr.ranks or raise ctr_examples.shards"
        )
    return [tuple(sorted(lot, key=lambda s: s.path)) for lot in lots]


def steps_per_epoch(rows: Sequence[int], batch_size: int, *, longest: int = 1) -> int:
    """Return the steps that every rank takes per epoch: enough for each to see all its rows; most start over.

    Parameters
    ----------
    rows : sequence of int
        Rows of each rank.
    longest : int
        Rows of the longest list, where lists are not cut: a batch may end as many rows (less one) before it is full.
        Two batches in a row hold more than one batch's rows, so that half a batch per step is always enough.

    Examples
    --------
    >>> steps_per_epoch([100, 120], 50), steps_per_epoch([100, 120], 50, longest=11)
    (3, 3)
    """
    room = max(batch_size - longest + 1, (batch_size + 1) // 2)
    return max(math.ceil(count / room) for count in rows)
