"""What comes after the first delivery is opened alone, and means what it would mean beside the files before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.errors import DataError
from recsys.ingest.dataset import Dataset
from recsys.ingest.sources import Batch, read_batch
from recsys.ingest.units import Ledger
from recsys.store.files import list_files
from tests.ingest.support import EVENT, EVENT_COLUMNS, dataset, event, source

pytestmark = pytest.mark.spark

HEADER = list(EVENT)


def opened(spark: SparkSession, mapping: Dataset, root: Path, ledger: Ledger | None = None) -> Batch:
    return read_batch(spark, mapping, root=str(root), list_files=list_files, ledger=ledger)


def known(batch: Batch) -> Ledger:
    """The ledger after a batch."""
    return Ledger(
        {(one.source.name, unit.name): (unit.version, one.rules) for one in batch.taken for unit in one.units}
    )


def csv(root: Path, name: str, columns: Sequence[str], *rows: dict[str, Any]) -> None:
    lines = [",".join(columns), *(",".join(str(row[column]) for column in columns) for row in rows)]
    (root / "events").mkdir(exist_ok=True)
    (root / "events" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def mapping() -> Dataset:
    return dataset(source(path="events", format="csv"))


def test_a_column_that_later_files_lack_is_null_in_their_rows_alone(
    spark: SparkSession, mapping: Dataset, tmp_path: Path
) -> None:
    csv(tmp_path, "1.csv", HEADER, event(id="a"))
    first = opened(spark, mapping, tmp_path)
    csv(tmp_path, "2.csv", [name for name in HEADER if name != "price"], event(id="b"))
    (tmp_path / "events" / "3.csv").touch()
    ((_, frame),) = opened(spark, mapping, tmp_path, known(first)).frames
    assert [(row["id"], row["user"], row["price"]) for row in frame.collect()] == [("b", "u1", None)]


def test_a_column_that_no_row_can_do_without_is_named(spark: SparkSession, mapping: Dataset, tmp_path: Path) -> None:
    csv(tmp_path, "1.csv", HEADER, event(id="a"))
    first = opened(spark, mapping, tmp_path)
    csv(tmp_path, "2.csv", [name for name in HEADER if name != "user"], event(id="b"))
    with pytest.raises(DataError, match="column user"):
        opened(spark, mapping, tmp_path, known(first))


def test_folders_give_columns_to_later_files_too(spark: SparkSession, tmp_path: Path) -> None:
    columns = {**{name: one for name, one in EVENT_COLUMNS.items() if name != "session_id"}, "session_id": "dt"}
    mapping = dataset(source(path="events", format="parquet", columns=columns))
    for day in ("2024-05-01", "2024-05-02"):
        folder = tmp_path / "events" / f"dt={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([event(id=day)]), folder / "part.parquet")
        if day == "2024-05-01":
            first = opened(spark, mapping, tmp_path)
    batch = opened(spark, mapping, tmp_path, known(first))
    assert [unit.name for unit in batch.taken[0].units] == ["events/dt=2024-05-02/part.parquet"]
    assert [(row["id"], row["dt"]) for row in batch.frames[0][1].collect()] == [("2024-05-02", "2024-05-02")]
