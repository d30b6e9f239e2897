"""Settings of a local session for little data, where generating code takes longer than running it.

Over a few thousand rows Spark spends most of a run in compiling: its own classes for each stage, and the JVM's second
compiler on top. Small runs interpret expressions instead, plan once, shuffle into one partition, and keep to the JVM's
first compiler. None of it changes a row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from recsys.environment import Environment

JVM: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=512m"
"""Compile fast instead of well, and collect garbage as a small heap needs it."""
SQL: Final = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Tiny stages have nothing to adapt.
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
}
SHUFFLE_PARTITIONS: Final = 1
_MEGABYTE: Final = 2**20
_PACKED: Final = (".gz", ".bz2", ".zst", ".parquet", ".orc", ".avro")
_GROWTH: Final = 5
"""How much larger packed files are taken to be once they are read."""


def is_small(environment: Environment) -> bool:
    """Whether input and warehouse together are below `spark.quick_below_mb`, and both are on this machine.

    The files of a folder are added up only until the limit is reached.
    """
    limit = environment.spark.quick_below_mb * _MEGABYTE
    root = environment.input.root
    if not limit or environment.spark.profile != "local" or root is None or environment.warehouse.database_name:
        return False
    places = [_local(root), _local(environment.warehouse.path)]
    found = 0
    for place in places:
        if place is None:
            return False
        for size in _sizes(place):
            found += size
            if found > limit:
                return False
    return True


def _sizes(place: Path) -> Iterator[int]:
    """Bytes of the files below a folder; one that is removed meanwhile counts nothing."""
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError):
                size = (Path(folder) / name).stat().st_size
                yield size * _GROWTH if name.endswith(_PACKED) else size


def _local(path: str) -> Path | None:
    """The path on this machine; None for one elsewhere."""
    if path.startswith("file:"):
        return Path("/" + path.removeprefix("file:").lstrip("/"))
    return None if ":/" in path else Path(path)
