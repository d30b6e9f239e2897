"""The mappings of the four public datasets, against figures counted by hand from the files."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.config import load_config
from recsys.ingest.flow import cleaned
from recsys.ingest.outcome import Origin
from tests.ingest.support import opened
from tests.support.data import DATA

pytestmark = [
    pytest.mark.spark,
    pytest.mark.real_data,
    pytest.mark.usefixtures("compiled"),
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no data sets at {DATA}; name their folder in RECSYS_DATA"),
]

EXPECTED: dict[str, dict[str, Any]] = {
    "movielens-latest-small": {
        "events": {"rating": 100_836},
        "items": 9_125,
        "reasons": {},
    },
    "lastfm-2k": {
        "events": {"play": 92_834, "other": 186_474},
        "items": 17_632,
        # Five taggings are dated 1956, 1957 and 1979.
        "reasons": {"taggings ancient_time": 5},
    },
    "trivago-100k": {
        "events": {"click": 13_597, "view": 74_011},
        "impressions": 312_539,
        # Four refer to no item.
        "reasons": {"actions missing:item_id": 4},
    },
    "online-retail-ii-2009": {
        "events": {"purchase": 502_322, "return": 9_558},
        "reasons": {"invoice_lines duplicate_row": 6_853},
    },
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_public_set(spark: SparkSession, name: str) -> None:
    expected = EXPECTED[name]
    cfg = load_config(dataset=f"conf/datasets/{name}.yaml")
    assert cfg.dataset is not None
    batch = opened(spark, cfg.dataset, DATA / name)
    origin = Origin(cfg.dataset, batch.batch_id, datetime.now(UTC), batch.root)
    with cleaned(batch.frames, origin=origin, settings=cfg.clean) as rows:
        rows.check(quarantine_limit=cfg.clean.quarantine_limit, duplicate_limit=cfg.clean.duplicate_limit)
        by_type = (
            rows.tables["events"]
            .groupBy("event_type")
            .agg(
                F.count("*").alias("n"),
                F.sum(F.col("is_bot").cast("int")).alias("bots"),
                F.count("session_step").alias("steps"),
            )
        )
        found = by_type.collect()
        assert {row["event_type"]: row["n"] for row in found} == expected["events"]
        assert sum(row["bots"] for row in found) <= 0.01 * sum(row["n"] for row in found)
        assert all(row["steps"] == row["n"] for row in found)
        for table in ("items", "impressions"):
            if table in expected:
                assert rows.tables[table].count() == expected[table], table
        refused: Counter[str] = Counter()
        for one in rows.tallies:
            for reason in one.reasons:
                refused[f"{one.source} {reason}"] += one.rows
        assert dict(refused) == expected["reasons"]
