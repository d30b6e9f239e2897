"""Columns that nobody mapped: named if they are new, kept where that is asked for, or the end of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.errors import DataError
from recsys.ingest import drift
from recsys.ingest.dataset import Source
from tests.ingest.support import dataset, event, lines, mapped, opened, source, write

KNOWN = frozenset(["id", "user", "old"])


@pytest.mark.fast
def test_new_columns_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Not those that are mapped, nor those that were there before, nor any in the first batch."""
    one = Source.model_validate(source())
    drift.report(one, ["id", "user", "old", "price", "tone"], KNOWN)
    drift.report(one, ["id", "user", "old"], KNOWN)
    drift.report(one, ["id", "user", "tone"], None)
    told = [line for line in capsys.readouterr().err.splitlines() if "not there before" in line]
    assert len(told) == 1 and "source actions: columns that were not there before: tone (left out" in told[0]


@pytest.mark.fast
def test_a_new_column_may_stop_the_run() -> None:
    one = Source.model_validate(source(new_columns="stop"))
    with pytest.raises(DataError, match=r"source actions: events.json has columns .*: tone; map them"):
        drift.report(one, ["id", "tone"], KNOWN)
    drift.report(one, ["id", "old"], KNOWN)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"columns": {"user_id": "u", "item_id": "i", "event_type": "t", "event_time": "at"}}, "needs an event_id"),
        ({"format": {"type": "json", "encoding": "latin-1"}}, "needs json in UTF-8"),
    ],
)
def test_what_can_not_travel(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Source.model_validate(source(new_columns="attributes", **changes))


@pytest.mark.spark
def test_unmapped_columns_travel_in_attributes(spark: SparkSession, tmp_path: Path) -> None:
    """Of json whatever key a line has, of other formats whatever column; blanks are none, names of the mapping win."""
    rows = [event(id="a", tone=" loud ", deep={"x": 1}), event(id="b", blank=" ", shop="unmapped")]
    write(tmp_path, "events.json", lines(rows))
    flat = [{**row, "deep": 7, "tone": row.get("tone"), "shop": "unmapped"} for row in rows]
    pq.write_table(
        pa.Table.from_pylist([{k: v for k, v in row.items() if k != "blank"} for row in flat]), tmp_path / "e"
    )
    found = {}
    for path, form in (("events.json", "json"), ("e", "parquet")):
        mapping = dataset(source(path=path, format=form, new_columns="attributes", attributes={"shop": "item"}))
        found[form] = {row["event_id"]: row["attributes"] for row in mapped(spark, mapping, tmp_path)}
    assert found["json"] == {"a": {"deep": '{"x":1}', "shop": "i1", "tone": "loud"}, "b": {"shop": "i1"}}
    assert found["parquet"] == {"a": {"deep": "7", "shop": "i1", "tone": "loud"}, "b": {"deep": "7", "shop": "i1"}}
    (taken,) = opened(spark, dataset(source()), tmp_path).taken
    assert {"tone", "deep", "blank", "shop"} <= set(taken.columns), "the ledger knows them too"
