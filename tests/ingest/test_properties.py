"""What must hold for any input: clean rows stay, nothing is lost, the order of lines does not matter."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from recsys.data import EVENT_TYPES
from tests.ingest.support import Outcome, clean, dataset, lines, write

pytestmark = pytest.mark.spark

FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
NO_BLANKS = st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], blacklist_characters="\ufffd")
IDS = st.text(NO_BLANKS, min_size=1, max_size=20)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2024, 7, 1), timezones=st.just(UTC)).map(datetime.isoformat)
CLEAN = st.fixed_dictionaries(
    {"user": IDS, "item": IDS, "type": st.sampled_from(EVENT_TYPES), "time": TIMES},
    optional={
        "qty": st.integers(1, 10**6),
        "price": st.floats(0, 1e12) | st.integers(0, 10**9) | st.decimals(0, 999, places=2).map(str),
        "session": IDS,
        "step": st.integers(1, 2**31 - 1),
    },
)
ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60) | st.lists(st.integers(), max_size=2)
)
KEYS = st.sampled_from(["id", "user", "item", "type", "time", "qty", "price", "session", "step"])
DIRTY = st.dictionaries(KEYS, ANYTHING)
LINES = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=80).filter(
    lambda line: line.strip(" ") != ""
)


def run(spark: SparkSession, root: Path, rows: list[Any]) -> Outcome:
    write(root, "events.json", lines(rows))
    return clean(spark, dataset(), root)


@FEW
@given(rows=st.lists(CLEAN, min_size=20, max_size=60))
def test_clean_rows_are_never_refused(spark: SparkSession, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    numbered = [{**row, "id": f"e{at}"} for at, row in enumerate(rows)]
    found = run(spark, tmp_path, numbered)
    assert found.quarantine == []
    kept = {row["event_id"]: row for row in found.tables["events"]}
    assert len(kept) == len(rows)
    for row in numbered:
        one = kept[row["id"]]
        assert (one["user_id"], one["item_id"], one["event_type"]) == (row["user"], row["item"], row["type"])
        assert one["event_time"].replace(tzinfo=UTC) == datetime.fromisoformat(row["time"])
        assert one["price"] == (float(row["price"]) if "price" in row else None)


@FEW
@given(
    rows=st.lists(CLEAN | DIRTY | LINES, min_size=20, max_size=60),
    again=st.lists(st.integers(0, 19), max_size=10),
)
def test_rows_in_are_rows_kept_and_rows_refused(
    spark: SparkSession, tmp_path: Path, rows: list[Any], again: list[int]
) -> None:
    """Whatever a line holds, and however often it occurs."""
    sent = [*rows, *(rows[at] for at in again)]
    found = run(spark, tmp_path, sent)
    assert len(found.tables["events"]) + sum(row["copies"] for row in found.quarantine) == len(sent)
    assert all(row["reasons"] for row in found.quarantine)
    raw = Counter(line if isinstance(line, str) else json.dumps(line) for line in sent)
    assert all(row["raw"] in raw and row["copies"] <= raw[row["raw"]] for row in found.quarantine)
    ids = [row["event_id"] for row in found.tables["events"]]
    assert len(set(ids)) == len(ids)


@FEW
@given(rows=st.lists(CLEAN | DIRTY, min_size=20, max_size=40), seed=st.integers(0, 99))
def test_neither_order_nor_files_matter(spark: SparkSession, tmp_path: Path, rows: list[Any], seed: int) -> None:
    first = run(spark, tmp_path / "a", rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    second = run(spark, tmp_path / "b", shuffled)
    drop = {"batch_id", "ingested_at"}

    def content(found: Outcome) -> list[str]:
        return sorted(repr({k: v for k, v in row.asDict().items() if k not in drop}) for row in found.tables["events"])

    assert content(first) == content(second)
    assert first.reasons() == second.reasons()
