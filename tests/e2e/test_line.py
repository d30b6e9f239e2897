"""The whole line through `run(...)` on the synthetic shop: right, whole, and the same when run again."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from tests.support.shops import Shop, run_shop, shop_config
from tests.support.warehouses import Digests, digests

pytestmark = pytest.mark.e2e

Served = tuple[Config, Warehouse]


def test_every_table_of_the_contract_is_there(served: Served) -> None:
    _, warehouse = served
    missing = [table.name for table in tables.ALL if not warehouse.exists(table)]
    assert missing == []


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_keys_are_unique(served: Served, table: tables.Table) -> None:
    rows = served[1].read(table)
    repeated = rows.groupBy(*table.key).count().where("count > 1").count()
    assert repeated == 0


def test_nothing_is_lost_between_raw_and_tables(served: Served, shop: Shop) -> None:
    """Raw action lines are events or copies in quarantine, to the row."""
    _, warehouse = served
    kept = warehouse.read(tables.EVENTS).count()
    refused = warehouse.read(tables.QUARANTINE).where("target_table = 'events'").agg(F.sum("copies")).first()
    assert refused is not None
    assert kept + refused[0] == shop.manifest["rows"]["events"]
    assert kept == shop.manifest["clean_rows"]["events"]


def test_lists_are_dense_from_one_and_repeat_no_item(served: Served) -> None:
    lists = served[1].read(tables.RECOMMENDATIONS).groupBy("user_id").agg(
        F.count("*").alias("n"), F.max("rank").alias("last"), F.min("rank").alias("first"),
        F.countDistinct("item_id").alias("items"),
    )  # fmt: skip
    assert lists.count() > 0
    assert lists.where("last <> n OR first <> 1 OR items <> n").count() == 0


def test_no_seen_and_no_unavailable_item_is_recommended(served: Served, shop: Shop) -> None:
    config, warehouse = served
    recommended = warehouse.read(tables.RECOMMENDATIONS)
    before = warehouse.read(tables.EVENTS, before=shop.as_of)
    seen = before.where(F.col("event_type").isin(*config.candidates.seen_types)).select("user_id", "item_id")
    gone = warehouse.read(tables.ITEMS, valid_at=shop.as_of).where("NOT available").select("item_id")
    assert gone.count() > 0, "the shop has no unavailable item; the test shows nothing"
    assert recommended.join(seen, ["user_id", "item_id"], "left_semi").count() == 0
    assert recommended.join(gone, ["item_id"], "left_semi").count() == 0


def test_new_users_are_served_too(served: Served, shop: Shop) -> None:
    """Profiles without a single event before as_of get a list."""
    _, warehouse = served
    known = warehouse.read(tables.EVENTS, before=shop.as_of).select("user_id").distinct()
    fresh = warehouse.read(tables.USERS, valid_at=shop.as_of).join(known, "user_id", "left_anti").select("user_id")
    served_users = warehouse.read(tables.RECOMMENDATIONS).select("user_id").distinct()
    assert fresh.count() > 0, "the shop has no new user; the test shows nothing"
    assert fresh.join(served_users, "user_id", "left_anti").count() == 0


def test_every_row_has_a_title_and_a_reason(served: Served) -> None:
    rows = served[1].read(tables.RECOMMENDATIONS)
    assert rows.where("reason IS NULL OR reason = '' OR reason_code = ''").count() == 0
    known = served[1].read(tables.ITEMS).select("item_id").distinct()
    assert rows.join(known, "item_id", "left_semi").where("title IS NULL").count() == 0


def test_metrics_hold_popularity_beside_every_stage_with_intervals(served: Served) -> None:
    found = served[1].read(tables.METRICS).where("slice = 'all' AND metric = 'ndcg' AND k = 10")
    by_stage = {row["stage"]: row for row in found.collect()}
    assert {"als", "neighbors", "popular", "candidates", "final", "final-popular"} <= set(by_stage)
    for row in by_stage.values():
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["n"] > 0


def test_deltalake_and_duckdb_read_what_spark_wrote(served: Served) -> None:
    config, warehouse = served
    recommendations = DeltaTable(f"{config.warehouse.path}/recommendations").to_pyarrow_dataset()
    connection = duckdb.connect()
    connection.register("recommendations", recommendations)
    counted = connection.execute("SELECT count(*), count(DISTINCT user_id), min(rank) FROM recommendations").fetchone()
    rows = warehouse.read(tables.RECOMMENDATIONS)
    assert counted == (rows.count(), rows.select("user_id").distinct().count(), 1)


def test_the_report_and_the_model_are_on_disk(served: Served) -> None:
    config, warehouse = served
    reports = list(Path(config.warehouse.path).glob("reports/*/report.html"))
    assert len(reports) == 1
    assert "NDCG" in reports[0].read_text(encoding="utf-8")
    model = warehouse.read(tables.MODELS).where("kind = 'ctr'").first()
    assert model is not None
    assert Path(model["path"]).is_dir()
    assert model["checksums"]


def test_a_second_run_skips_what_is_done(
    spark: SparkSession, served: Served, digest_of_served: Digests, shop: Shop
) -> None:
    config, warehouse = served
    outcomes = run_shop(spark, config, shop.as_of)
    assert {outcome for _, outcome, _ in outcomes} == {"skipped"}
    assert digests(warehouse) == digest_of_served


def plant_future(warehouse: Warehouse, as_of: datetime) -> None:
    """Clicks at and after `as_of` on lists that were shown before it, and a state of every item from then on."""
    past = warehouse.read(tables.EVENTS, before=as_of).orderBy("event_id").limit(200)
    later = F.lit(as_of) + F.make_dt_interval(hours=F.pmod(F.hash("event_id"), F.lit(100)))
    clicks = past.withColumns(
        {
            "event_id": F.concat(F.lit("future-"), "event_id"),
            "event_type": F.lit("click"),
            "event_time": later,
            "event_date": F.to_date(later),
        }
    )
    shown = warehouse.read(tables.IMPRESSIONS, before=as_of).select("list_id", "item_id").orderBy("list_id", "item_id")
    named = shown.limit(1).first()
    assert named is not None
    listed = clicks.withColumns({"list_id": F.lit(named["list_id"]), "item_id": F.lit(named["item_id"])})
    renamed = listed.withColumn("event_id", F.concat(F.lit("listed-"), "event_id"))
    warehouse.merge(tables.EVENTS, clicks.unionByName(renamed), update=False)
    states = warehouse.read(tables.ITEMS).where("is_current")
    ended = states.withColumns({"valid_to": F.lit(as_of), "is_current": F.lit(False)})
    begun = states.withColumns(
        {"valid_from": F.lit(as_of), "title": F.lit("Later"), "price": F.lit(999.0), "available": F.lit(False)}
    )
    warehouse.merge(tables.ITEMS, ended.unionByName(begun), update=True)


def test_examples_model_and_lists_made_again_after_a_future_came_are_the_same(
    spark: SparkSession, served: Served, digest_of_served: Digests, shop: Shop, tmp_path: Path
) -> None:
    """Forced, so that nothing is skipped, in a copy of the warehouse of the first run."""
    shutil.copytree(served[0].warehouse.path, tmp_path / "warehouse")
    config = shop_config(shop.raw, tmp_path / "warehouse")
    warehouse = Warehouse(spark, config.warehouse)
    plant_future(warehouse, shop.as_of)
    run_shop(spark, config, shop.as_of, first="ctr_examples", last="publish", force=True)
    found = digests(warehouse, without=("events", "items"))
    assert {name for name in found if found[name] != digest_of_served[name]} == set()
    assert set(digest_of_served) - set(found) == {"events", "items"}
