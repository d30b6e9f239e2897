"""A Delta table that is read by its change feed: first as a whole, then by ranges of versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.sources import Batch, read_batch
from recsys.ingest.units import Ledger
from recsys.store.files import list_files
from tests.ingest.support import dataset, source

pytestmark = pytest.mark.spark

COLUMNS = {"event_id": "id", "user_id": "user", "item_id": "item", "event_type": "type", "event_time": "at"}


def opened(spark: SparkSession, root: Path, ledger: Ledger | None = None, **form: Any) -> Batch:
    mapping = dataset(source(path="t", format={"type": "delta", "changes": True, **form}, columns=COLUMNS))
    return read_batch(spark, mapping, root=str(root), list_files=list_files, ledger=ledger)


def known(*batches: Batch) -> Ledger:
    """The ledger after some batches."""
    taken = [one for batch in batches for one in batch.taken]
    return Ledger({(one.source.name, unit.name): (unit.version, one.rules) for one in taken for unit in one.units})


def append(spark: SparkSession, root: Path, *ids: str, feed: bool = True) -> None:
    rows = [(name, "u", "i1", "view", "2024-05-01T10:00:00Z") for name in ids]
    writer = spark.createDataFrame(rows, "id string, user string, item string, type string, at string").write
    writer.format("delta").mode("append").option("delta.enableChangeDataFeed", feed).save(str(root / "t"))


def names(batch: Batch) -> list[str]:
    return [unit.name for unit in batch.taken[0].units]


def test_what_changed_is_read_by_ranges_of_versions(spark: SparkSession, tmp_path: Path) -> None:
    append(spark, tmp_path, "a", "b")
    first = opened(spark, tmp_path)
    assert names(first) == ["t@0"]
    assert sorted(row["id"] for row in first.frames[0][1].collect()) == ["a", "b"]
    assert opened(spark, tmp_path, known(first)).frames == ()

    append(spark, tmp_path, "c")
    table = DeltaTable.forPath(spark, str(tmp_path / "t"))
    table.update("id = 'b'", {"item": "'i2'"})
    second = opened(spark, tmp_path, known(first))
    assert names(second) == ["t@1-2"]
    rows = second.frames[0][1].collect()
    assert sorted((row["id"], row["item"], row["_commit_version"]) for row in rows) == [("b", "i2", 2), ("c", "i1", 1)]
    assert {row["__file"] for row in rows} == {"t%401-2"}

    table.delete("id = 'a'")
    with pytest.raises(DataError, match="source actions: 1 rows were deleted in t@3-3.*deletes: keep"):
        opened(spark, tmp_path, known(first, second))
    third = opened(spark, tmp_path, known(first, second), deletes="keep")
    assert names(third) == ["t@3-3"] and third.frames[0][1].isEmpty()


def test_a_table_without_a_feed_is_named(spark: SparkSession, tmp_path: Path) -> None:
    append(spark, tmp_path, "a", feed=False)
    first = opened(spark, tmp_path)
    append(spark, tmp_path, "b", feed=False)
    with pytest.raises(DataError, match="changes t@1-1 can't be read.*enableChangeDataFeed.*changes: false"):
        opened(spark, tmp_path, known(first))
    earlier = Ledger({("actions", "t@0-7"): ("7", "r")})
    with pytest.raises(DataError, match="table t is at version 1, and version 7 was read before"):
        opened(spark, tmp_path, earlier)


def test_files_have_no_change_feed() -> None:
    with pytest.raises(ValueError, match="changes: true is for delta; json has no change feed"):
        Source.model_validate(source(format={"type": "json", "changes": True}))
