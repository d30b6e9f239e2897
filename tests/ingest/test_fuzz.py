"""Spoilt input of every format: each row is in `events` or in `quarantine`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from benchmarks.fuzz import mapping, write_files
from recsys.ingest.dataset import Dataset
from recsys.ingest.settings import CleanSettings
from tests.ingest.support import clean

pytestmark = pytest.mark.spark

ROWS = 200


def test_no_row_is_lost(spark: SparkSession, tmp_path: Path) -> None:
    written = write_files(tmp_path, ROWS, 3, "first", spark, avro=False)
    found = clean(spark, Dataset.model_validate(mapping(list(written))), tmp_path, settings=CleanSettings())
    kept = Counter(row["device"] for row in found.tables["events"])
    refused = Counter()
    for row in found.quarantine:
        refused[row["source_name"]] += row["copies"]
    assert {kind: kept[kind] + refused[kind] for kind in written} == written
    assert min(kept.values()) > ROWS / 4
    assert min(refused.values()) > ROWS / 10


def test_texts_are_texts(spark: SparkSession, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 reach no event."""
    write_files(tmp_path, ROWS, 4, "first", spark, avro=False)
    found = clean(spark, Dataset.model_validate(mapping(["orc"])), tmp_path, settings=CleanSettings())
    assert "bad_encoding:user_id" in found.reasons()
    assert not any("\ufffd" in row["user_id"] for row in found.tables["events"])
