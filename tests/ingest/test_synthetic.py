"""The synthetic shop: every planted defect found and named, no clean row refused."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.config import load_config
from recsys.ingest.flow import cleaned
from recsys.ingest.outcome import Origin
from recsys.synthetic import ShopConfig, generate
from tests.ingest.support import opened

pytestmark = pytest.mark.spark

REASON_OF = {
    "duplicate_row": "duplicate_row",
    "duplicate_key": "duplicate_key",
    "missing_user": "missing:user_id",
    "missing_item": "missing:item_id",
    "blank_id": "missing:item_id",
    "bad_time": "bad_time:event_time",
    "future_time": "future_time",
    "ancient_time": "ancient_time",
    "unknown_event": "unknown_event_type",
    "negative_price": "negative:price",
    "bad_quantity": "not_positive:quantity",
    "bad_number": "bad_type:price",
    "broken_json": "broken_record",
    "bad_encoding": "bad_encoding:item_id",
    "overlong_id": "too_long:item_id",
}
"""What the manifest calls a defect of an event, and the reason that cleaning gives."""

OTHERS = {
    "impressions": {**REASON_OF, "missing_list_id": "missing:list_id", "bad_time": "bad_time:shown_at"},
    "catalog": {**REASON_OF, "missing_id": "missing:item_id"},
    "profiles": {"missing_id": "missing:user_id"},
}
TABLE_OF = {"events": "events", "impressions": "impressions", "catalog": "items", "profiles": "users"}


def test_every_planted_defect_is_found_and_named(spark: SparkSession, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    generate(spark, ShopConfig.for_events(3000, seed=11, days=5, dirt=4.0), str(shop))
    manifest = json.loads((shop / "manifest.json").read_text())
    cfg = load_config(dataset="conf/datasets/synthetic-shop.yaml")
    assert cfg.dataset is not None
    batch = opened(spark, cfg.dataset, shop)
    origin = Origin(cfg.dataset, batch.batch_id, datetime.now(UTC), batch.root)
    with cleaned(batch.frames, origin=origin, settings=cfg.clean) as rows:
        refused = rows.quarantine.select("target_table", F.explode("reasons").alias("reason"), "copies", "reasons")
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in refused.collect():
            assert len(row["reasons"]) == 1, "one defect per dirty row"
            found[row["target_table"]][row["reason"]] += row["copies"]
        kept = {name: frame.count() for name, frame in rows.tables.items() if name != "impressions"}
        lists = rows.tables["impressions"].select("list_id").distinct().count()
    for kind, table in TABLE_OF.items():
        expected: dict[str, int] = defaultdict(int)
        for defect, count in manifest["defects"][kind].items():
            assert count, f"the shop has no {defect} in its {kind}; the test shows nothing of it"
            expected[OTHERS.get(kind, REASON_OF)[defect]] += count
        assert dict(found[table]) == dict(expected), kind
        assert (lists if table == "impressions" else kept[table]) == manifest["clean_rows"][kind], kind
