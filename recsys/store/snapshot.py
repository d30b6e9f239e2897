"""The snapshot of training examples: Parquet shards of even size, complete only once their manifest is there.

Spark writes next to the final place; the shards are moved in one by one; `manifest.json` comes last. A run that dies at
any point leaves either the previous snapshot or a folder without a manifest, which no reader accepts, and the next run
removes it. Files are named and moved through Hadoop's file systems, so that object stores and HDFS work too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import progress
from recsys.features.examples import ORIGINS
from recsys.store.files import remove

MANIFEST: Final = "manifest.json"
LIST: Final = "list_id"
"""Column of the list of a row. Losses over lists need the rows of a list together."""
_SLOTS: Final = 16_384
"""Hash slots of a split; shards are runs of slots, so more slots make more even shards."""
_ROW_GROUP_BYTES: Final = 8 << 20
"""Bytes of a row group: tens of thousands of examples; a few groups fill a shuffle buffer."""


@dataclass(frozen=True)
class Cut:
    """The hash slots at which the shards of a split begin, and the rows of each shard."""

    starts: tuple[int, ...]
    rows: tuple[int, ...]


def export(frame: DataFrame, path: str, *, shards: Mapping[str, int], key: str = "example_id") -> dict[str, int]:
    """Write examples as `path/<split>/part-NNNNN.parquet` and a manifest.

    Parameters
    ----------
    frame : DataFrame
        Examples with `split` and a key, unique within the frame.
    path : str
        Directory of the snapshot; replaced if it exists.
    shards : mapping of str to int
        Number of shards per split; fewer where a split has fewer rows. Other splits get one.
    key : str
        Column whose hash spreads the rows: over shards, and in random order within each. Where there is a column
        `list_id`, lists are spread instead: each lies in one shard, its rows side by side.

    Returns
    -------
    dict of str to int
        Rows per split.
    """
    spark = frame.sparkSession
    with progress.step("export the snapshot") as this:
        files = _Files(spark, path)
        staging = f"{path.rstrip('/')}.writing"
        remove(spark, staging)
        unit = LIST if LIST in frame.columns else key
        cuts = _cuts(frame, shards, unit)
        _write(frame, staging, cuts, unit, key)
        remove(spark, f"{path}/{MANIFEST}")
        remove(spark, path)
        manifest: dict[str, Any] = {"version": 1, "columns": dict(frame.drop("split").dtypes), "splits": {}}
        for split, cut in sorted(cuts.items()):
            manifest["splits"][split] = [
                files.move_shard(f"{staging}/split={split}/shard={number}", f"{split}/part-{number:05d}.parquet", rows)
                for number, rows in enumerate(cut.rows)
            ]
        remove(spark, staging)
        files.write(MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        totals = {split: sum(cut.rows) for split, cut in cuts.items()}
        this.rows = sum(totals.values())
    return totals


def export_by_origin(frame: DataFrame, path: str, *, shards: Mapping[str, int]) -> None:
    """Export the examples of each origin to a snapshot of its own, `path/<origin>`; parameters as in `export`."""
    for origin in ORIGINS:
        export(frame.where(F.col("origin") == origin), f"{path.rstrip('/')}/{origin}", shards=shards)


def _slot(unit: str) -> Column:
    return F.pmod(F.xxhash64(F.lit("shard"), unit), F.lit(_SLOTS)).cast("int")


def _cuts(frame: DataFrame, shards: Mapping[str, int], unit: str) -> dict[str, Cut]:
    """Cut each split's hash slots into runs of even size; the counts per slot are all that reaches the driver."""
    counts: dict[str, dict[int, int]] = {}
    for row in frame.groupBy("split", _slot(unit).alias("slot")).count().collect():
        counts.setdefault(row["split"], {})[row["slot"]] = row["count"]
    return {split: cut_evenly(found, shards.get(split, 1)) for split, found in counts.items()}


def cut_evenly(counts: Mapping[int, int], shards: int) -> Cut:
    """Cut counted slots, in order, into runs whose sums differ by no more than one slot; empty runs are left out.

    Examples
    --------
    >>> cut_evenly({0: 2, 3: 2, 4: 1, 9: 3}, 2)
    Cut(starts=(0, 4), rows=(4, 4))
    """
    total, seen = sum(counts.values()), 0
    runs: dict[int, list[int]] = {}
    for slot in sorted(counts):
        # The middle of a slot decides, so that rounding favors neither side.
        middle = (2 * seen + counts[slot]) * shards // (2 * total)
        runs.setdefault(middle, []).append(slot)
        seen += counts[slot]
    return Cut(
        starts=tuple(run[0] for run in runs.values()),
        rows=tuple(sum(counts[slot] for slot in run) for run in runs.values()),
    )


def _shuffled(column: str) -> tuple[Column, Column]:
    """Return an order that follows from the values alone and looks random; equal hashes are told apart."""
    return F.xxhash64(F.lit("order"), column), F.col(column)


def _write(frame: DataFrame, staging: str, cuts: Mapping[str, Cut], unit: str, key: str) -> None:
    slot, shard = F.col("_slot"), F.lit(0)
    for split, found in cuts.items():
        place = F.lit(0)
        for start in found.starts[1:]:
            place = place + (slot >= start).cast("int")
        shard = F.when(F.col("split") == split, place).otherwise(shard)
    (
        frame.withColumn("_slot", _slot(unit))
        .withColumn("shard", shard)
        .repartition(max((len(found.rows) for found in cuts.values()), default=1), "split", "shard")
        .sortWithinPartitions("split", "shard", *_shuffled(unit), *_shuffled(key))
        .drop("_slot")
        .write.mode("overwrite")
        .option("parquet.block.size", _ROW_GROUP_BYTES)
        .option("maxRecordsPerFile", 0)
        .partitionBy("split", "shard")
        .parquet(staging)
    )


class _Files:
    """The few file operations that a snapshot needs, on the Hadoop file system of its path."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self._jvm: Any = spark._jvm
        self._root = root.rstrip("/")
        self._fs = self._path(self._root).getFileSystem(spark._jsc.hadoopConfiguration())

    def _path(self, name: str) -> Any:
        return getattr(self._jvm, "org.apache.hadoop.fs.Path")(name)  # noqa: B009

    def move_shard(self, folder: str, name: str, rows: int) -> dict[str, Any]:
        """Move the one Parquet file of a folder into the snapshot; return its entry in the manifest."""
        (found,) = (
            status
            for status in self._fs.listStatus(self._path(folder))
            if status.getPath().getName().endswith(".parquet")
        )
        target = self._path(f"{self._root}/{name}")
        self._fs.mkdirs(target.getParent())
        if not self._fs.rename(found.getPath(), target):
            raise OSError(f"{found.getPath()} could not be moved to {target}")
        return {"file": name, "rows": rows, "bytes": found.getLen()}

    def write(self, name: str, text: str) -> None:
        """Write a small file atomically."""
        draft, target = self._path(f"{self._root}/_{name}"), self._path(f"{self._root}/{name}")
        self._fs.mkdirs(target.getParent())
        stream = self._fs.create(draft, True)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()
        if not self._fs.rename(draft, target):
            raise OSError(f"{draft} could not be moved to {target}")
