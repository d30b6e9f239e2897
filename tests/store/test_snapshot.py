"""The snapshot: even shards, the same bits from any layout, and complete only with its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.store import snapshot

pytestmark = pytest.mark.spark


def rows(spark: SparkSession, partitions: int) -> DataFrame:
    split = F.when(F.col("id") < 400, "train").when(F.col("id") < 430, "valid").otherwise("test")
    return spark.range(433).select(
        F.concat(F.lit("e"), "id").alias("example_id"), split.alias("split"), (F.col("id") / 3).alias("x")
    ).repartition(partitions)  # fmt: skip


def digest(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.endswith(".crc"))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_shards_are_even_whole_and_the_same_again(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "snap"
    assert snapshot.export(rows(spark, 3), str(path), shards={"train": 8}) == {"train": 400, "valid": 30, "test": 3}
    manifest = json.loads((path / "manifest.json").read_text())
    sizes = [shard["rows"] for shard in manifest["splits"]["train"]]
    assert len(sizes) == 8 and sum(sizes) == 400 and max(sizes) - min(sizes) <= 2
    seen = []
    for shards in manifest["splits"].values():
        for shard in shards:
            table = pq.read_table(path / shard["file"])
            assert table.num_rows == shard["rows"] and (path / shard["file"]).stat().st_size == shard["bytes"]
            seen += table.column("example_id").to_pylist()
    assert sorted(seen) == sorted(f"e{n}" for n in range(433))
    first = pq.read_table(path / "train/part-00000.parquet").column("example_id").to_pylist()
    assert first != sorted(first)
    before = digest(path)
    # What an earlier run left half-way is cleared: a stale shard, a draft, a staging folder.
    (path / "train" / "part-00099.parquet").write_text("stale")
    (tmp_path / "snap.writing").mkdir()
    (tmp_path / "snap.writing" / "junk").write_text("junk")
    snapshot.export(rows(spark, 7), str(path), shards={"train": 8})
    assert digest(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["snap"]


def test_a_list_lies_in_one_shard_side_by_side(spark: SparkSession, tmp_path: Path) -> None:
    lists = rows(spark, 3).withColumn("list_id", F.concat(F.lit("l"), F.expr("int(substr(example_id, 2)) % 60")))
    snapshot.export(lists, str(tmp_path / "snap"), shards={"train": 4})
    found: list[list[str]] = []
    for shard in sorted((tmp_path / "snap" / "train").glob("*.parquet")):
        names = pq.read_table(shard).column("list_id").to_pylist()
        found.append([name for name, before in zip(names, [None, *names], strict=False) if name != before])
    assert len(found) == 4
    assert sorted(name for shard in found for name in shard) == sorted(f"l{n}" for n in range(60))
    assert found[0] != sorted(found[0])


def test_a_run_that_dies_leaves_no_manifest(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "snap"
    snapshot.export(rows(spark, 2), str(path), shards={"train": 2})
    move = snapshot._Files.move_shard

    def die(self: snapshot._Files, folder: str, name: str, count: int) -> object:
        if name == "train/part-00001.parquet":
            raise KeyboardInterrupt
        return move(self, folder, name, count)

    monkeypatch.setattr(snapshot._Files, "move_shard", die)
    with pytest.raises(KeyboardInterrupt):
        snapshot.export(rows(spark, 2), str(path), shards={"train": 2})
    assert not (path / "manifest.json").exists()
    monkeypatch.undo()
    snapshot.export(rows(spark, 2), str(path), shards={"train": 2})
    assert (path / "manifest.json").exists()


@pytest.mark.parametrize("n, shards", [(0, 4), (1, 4), (3, 8), (5, 5), (1000, 7)])
def test_cuts_cover_every_slot(n: int, shards: int) -> None:
    counts = dict.fromkeys(range(n), 1)
    found = snapshot.cut_evenly(counts, shards)
    assert sum(found.rows) == n and len(found.rows) == min(n, shards) == len(found.starts)
    assert not found.rows or max(found.rows) - min(found.rows) <= 1
