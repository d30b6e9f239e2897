"""The whole pipeline on the synthetic shop: right, whole, and the same when run again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config
from recsys.ctr.heads import Choice, Heads
from recsys.demo import about_the_shop
from recsys.pipeline import graph
from recsys.pipeline.graph import Outcome
from recsys.pipeline.job import load_jobs
from recsys.pipeline.summary import summarize
from recsys.retrieval import registry
from recsys.retrieval.blend import Blend
from recsys.retrieval.ordering import reordered
from recsys.store import Warehouse
from recsys.store.catalog import all_tables
from tests.support.shops import ROOT, Shop, run_shop, shop_config
from tests.support.warehouses import Digests, columns_of, digests

pytestmark = pytest.mark.e2e

Served = tuple[Config, Warehouse]


def test_every_table_of_the_pipeline_is_there(served: Served) -> None:
    _, warehouse = served
    missing = {table.name for table in all_tables() if not warehouse.exists(table)}
    of_default = {table.name for retriever in registry.defaults() for table in retriever.tables.values()}
    optional = {table.name for table in registry.tables()} - of_default
    # Back-tests are made by a program of their own; so small a shop has no robot and proves no ranker.
    assert missing <= {data.BACKTESTS.name, data.INPUT_SKEW.name, data.ROBOTS.name} | optional


@pytest.mark.parametrize("table", all_tables(), ids=lambda table: table.name)
def test_keys_are_unique(served: Served, table: data.Table) -> None:
    if not served[1].exists(table):
        return
    counts = (
        columns_of(served[1], table, table.key).group_by(list(table.key)).aggregate([([], "count_all")])["count_all"]
    )
    assert set(counts.to_pylist()) <= {1}


def test_nothing_is_lost_between_raw_and_tables(served: Served, shop: Shop) -> None:
    """Raw action lines are events or copies in quarantine, to the row."""
    _, warehouse = served
    kept = warehouse.read(data.EVENTS).count()
    refused = warehouse.read(data.QUARANTINE).where("target_table = 'events'").agg(F.sum("copies")).first()
    assert refused is not None
    assert kept + refused[0] == shop.manifest["rows"]["events"]
    assert kept == shop.manifest["clean_rows"]["events"]


def test_lists_are_dense_from_one_and_repeat_no_item(served: Served) -> None:
    lists = served[1].read(data.RECOMMENDATIONS).groupBy("user_id").agg(
        F.count("*").alias("n"), F.max("rank").alias("last"), F.min("rank").alias("first"),
        F.countDistinct("item_id").alias("items"),
    )  # fmt: skip
    assert lists.count() > 0
    assert lists.where("last <> n OR first <> 1 OR items <> n").count() == 0


def test_no_seen_and_no_unavailable_item_is_recommended(served: Served, shop: Shop) -> None:
    config, warehouse = served
    recommended = warehouse.read(data.RECOMMENDATIONS)
    before = warehouse.read(data.EVENTS, before=shop.as_of)
    seen = before.where(F.col("event_type").isin(*config.candidates.seen_types)).select("user_id", "item_id")
    gone = warehouse.read(data.ITEMS, valid_at=shop.as_of).where("NOT available").select("item_id")
    assert gone.count() > 0, "the shop has no unavailable item; the test shows nothing"
    assert recommended.join(seen, ["user_id", "item_id"], "left_semi").count() == 0
    assert recommended.join(gone, ["item_id"], "left_semi").count() == 0


def test_new_users_are_served_too(served: Served, shop: Shop) -> None:
    """Profiles without a single event before as_of get a list."""
    _, warehouse = served
    known = warehouse.read(data.EVENTS, before=shop.as_of).select("user_id").distinct()
    fresh = warehouse.read(data.USERS, valid_at=shop.as_of).join(known, "user_id", "left_anti").select("user_id")
    served_users = warehouse.read(data.RECOMMENDATIONS).select("user_id").distinct()
    assert fresh.count() > 0, "the shop has no new user; the test shows nothing"
    assert fresh.join(served_users, "user_id", "left_anti").count() == 0


def test_every_row_has_a_title_and_a_reason(served: Served) -> None:
    rows = served[1].read(data.RECOMMENDATIONS)
    assert rows.where("reason IS NULL OR reason = '' OR reason_code = ''").count() == 0
    known = served[1].read(data.ITEMS).select("item_id").distinct()
    assert rows.join(known, "item_id", "left_semi").where("title IS NULL").count() == 0


def test_the_union_has_the_weights_that_past_lists_gave(served: Served, shop: Shop) -> None:
    warehouse, at = served[1], shop.as_of
    fitted = warehouse.read(data.MODELS, where={"kind": "fusion"}).collect()
    assert [row["as_of"].astimezone(UTC) for row in fitted] == [at], "at past instants nothing is fitted"
    figures, blend = fitted[0]["metrics"], Blend.from_figures(fitted[0]["metrics"])
    assert figures["lists"] > 0 and fitted[0]["verdict"].split(":")[0] in ("fitted weights", "the config's weights")
    made = warehouse.read(data.CANDIDATES, where={"run_date": at.date(), "as_of": at})
    again = reordered(made, blend, lists=["user_id"])
    columns = ("user_id", "item_id", "rank", "score")
    assert again.select(*columns).exceptAll(made.select(*columns)).isEmpty()


def test_what_each_retriever_found_adds_up(served: Served) -> None:
    config, warehouse = served
    rows = {(row["source"], row["other"]): row for row in warehouse.read(data.SOURCE_OVERLAP).collect()}
    names, union = [one.name for one in config.retrievers], rows["candidates", "candidates"]
    own = [rows[name, name] for name in names]
    assert len(rows) == 1 + len(names) ** 2
    assert 0 < max(row["hits"] for row in own) <= union["hits"] <= sum(row["hits"] for row in own)
    assert all(row["unique_hits"] <= row["hits"] for row in own)


def test_metrics_hold_popularity_beside_every_stage_with_intervals(served: Served) -> None:
    found = served[1].read(data.METRICS).where("slice = 'all' AND metric = 'ndcg' AND k = 10")
    by_stage = {row["stage"]: row for row in found.collect()}
    assert {"popular", "candidates", "final", "final-popular"} <= set(by_stage)
    for row in by_stage.values():
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["n"] > 0


def test_deltalake_and_duckdb_read_what_spark_wrote(served: Served) -> None:
    config, warehouse = served
    recommendations = DeltaTable(f"{config.warehouse.path}/recommendations").to_pyarrow_dataset()
    connection = duckdb.connect()
    connection.register("recommendations", recommendations)
    counted = connection.execute("SELECT count(*), count(DISTINCT user_id), min(rank) FROM recommendations").fetchone()
    rows = warehouse.read(data.RECOMMENDATIONS)
    assert counted == (rows.count(), rows.select("user_id").distinct().count(), 1)


def test_the_report_and_the_model_are_on_disk(served: Served) -> None:
    config, warehouse = served
    reports = list(Path(config.warehouse.path).glob("reports/*/report.html"))
    assert len(reports) == 1
    assert "NDCG" in reports[0].read_text(encoding="utf-8")
    model = warehouse.read(data.MODELS).where("kind = 'ctr'").first()
    assert model is not None
    assert (Path(config.warehouse.path) / model["path"]).is_dir()
    assert model["checksums"]


def test_a_second_run_skips_what_is_done(
    spark: SparkSession, served: Served, digest_of_served: Digests, shop: Shop
) -> None:
    config, warehouse = served
    outcomes = run_shop(spark, config, shop.as_of)
    assert {outcome.result for outcome in outcomes} == {"skipped"}
    assert digests(warehouse) == digest_of_served


def test_the_summary_names_every_stage_and_ends_with_the_report(
    spark: SparkSession, served: Served, shop: Shop
) -> None:
    config, warehouse = served
    text = summarize(spark, config, shop.as_of, [Outcome("rank@now", "done", 3.0)])
    lists = {row["stage"] for row in warehouse.read(data.METRICS, where={"metric": "ndcg"}).collect()}
    assert {"popular", "final", "final-popular"} <= lists
    quality = text.partition("\nQuality over the next 7 days")[2].partition("\nIs the final")[0]
    assert {line.split()[0] for line in quality.splitlines()[4:] if line} == {s for s in lists if "-" not in s}
    assert "\nfinal - popular" in text and "\nrecommendations " in text and "duplicate_row" in text
    assert Path(text.splitlines()[-1]).is_file()


def test_the_demo_shows_the_ranker_beside_the_truth_and_a_few_lists(
    spark: SparkSession, served: Served, shop: Shop
) -> None:
    text = "\n".join(about_the_shop(spark, served[0], shop.as_of, shop.raw))
    assert "AUC on the test split: popularity 0." in text or "the test split is too small" in text
    users = {line.split()[0] for line in text.partition("reason")[2].splitlines()[2:]}
    assert len(users) == 5


def test_what_was_clicked_before_each_rung_is_an_input_of_the_ranker(
    spark: SparkSession, served: Served, shop: Shop, tmp_path: Path
) -> None:
    """The fits of a rung know the lists before it: candidates have its figure, lists that of the rung before them."""
    shutil.copytree(served[0].warehouse.path, tmp_path / "warehouse")
    config = shop_config(shop.raw, tmp_path / "warehouse", "click_factors.enabled=true", "click_factors.epochs=2")
    run_shop(spark, config, shop.as_of, last="ctr_examples")
    warehouse, rungs = Warehouse(spark, config.warehouse), sorted(graph.config_ladder(config, shop.as_of))
    fits = warehouse.read(data.MODELS, where={"kind": "click_factors"}).select(F.unix_micros("as_of")).collect()
    assert sorted(at for (at,) in fits) == [int(at.timestamp() * 1e6) for at in (*rungs, shop.as_of)]
    known, early = F.col("click_affinity").isNotNull(), F.col("example_time") < F.lit(rungs[0])
    table = registry.examples_table(config.retrievers, ())
    rows = warehouse.read(table, where=data.slice_of(shop.as_of)).groupBy("origin", known, early).count().collect()
    assert {tuple(row[:3]) for row in rows} == {
        ("candidates", True, False), ("lists", True, False), ("lists", False, True)
    }  # fmt: skip


def plant_future(warehouse: Warehouse, as_of: datetime) -> None:
    """Clicks at and after `as_of` on lists that were shown before it, and a state of every item from then on."""
    past = warehouse.read(data.EVENTS, before=as_of).orderBy("event_id").limit(200)
    later = F.lit(as_of) + F.make_dt_interval(hours=F.pmod(F.hash("event_id"), F.lit(100)))
    clicks = past.withColumns(
        {
            "event_id": F.concat(F.lit("future-"), "event_id"),
            "event_type": F.lit("click"),
            "event_time": later,
            "event_date": F.to_date(later),
        }
    )
    shown = warehouse.read(data.IMPRESSIONS, before=as_of).select("list_id", "item_id").orderBy("list_id", "item_id")
    named = shown.limit(1).first()
    assert named is not None
    listed = clicks.withColumns({"list_id": F.lit(named["list_id"]), "item_id": F.lit(named["item_id"])})
    renamed = listed.withColumn("event_id", F.concat(F.lit("listed-"), "event_id"))
    warehouse.merge(data.EVENTS, clicks.unionByName(renamed), update=False)
    states = warehouse.read(data.ITEMS).where("is_current")
    ended = states.withColumns({"valid_to": F.lit(as_of), "is_current": F.lit(False)})
    begun = states.withColumns(
        {"valid_from": F.lit(as_of), "title": F.lit("Later"), "price": F.lit(999.0), "available": F.lit(False)}
    )
    warehouse.merge(data.ITEMS, ended.unionByName(begun), update=True)


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


WEIGHTS = {"engage": 1.0, "click": 0.5}


@pytest.fixture(scope="module")
def shorter(
    spark: SparkSession, shop: Shop, served: Served, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Warehouse, list[Outcome]]:
    """A run with shorter lists in a copy of the warehouse, where the ranker is used: so small a shop proves none."""
    root = tmp_path_factory.mktemp("shorter") / "warehouse"
    shutil.copytree(served[1].root, root)
    config = shop_config(shop.raw, root, "rank.k=5")
    warehouse = Warehouse(spark, config.warehouse)
    model = warehouse.read(data.MODELS, where={"kind": "ctr"}).first()
    assert model is not None
    path = warehouse.path(model["path"])
    heads = Heads.load(path)
    assert set(heads.bundles) == set(WEIGHTS)
    Heads(heads.bundles, Choice(WEIGHTS, True, "used: for this test")).save(path)
    return warehouse, run_shop(spark, config, shop.as_of)


def test_a_changed_key_runs_the_jobs_that_read_it_and_those_that_read_their_tables(
    shorter: tuple[Warehouse, list[Outcome]],
) -> None:
    results = {outcome.label.partition("@")[0]: outcome.result for outcome in shorter[1]}
    assert {name for name, result in results.items() if result != "skipped"} == {"rank", "publish", "evaluate"}
    assert {results[name] for name in ("rank", "publish", "evaluate")} == {"done"}
    assert set(results) == set(load_jobs(ROOT / "jobs"))


def test_a_ranker_that_is_used_orders_the_lists(shop: Shop, shorter: tuple[Warehouse, list[Outcome]]) -> None:
    warehouse, today = shorter[0], {"run_date": shop.as_of.date()}
    model = warehouse.read(data.MODELS, where={"kind": "ctr"}).first()
    ranked = warehouse.read(data.RANKED, where=today).where("score_parts['reserve'] = 0").collect()
    assert model is not None and {row["model_version"] for row in ranked} == {model["model_version"]}
    assert {row["score_parts"]["retrieval_weight"] for row in ranked} == {0.0}
    assert all(row["prediction"] == row["score_parts"]["p_engage"] for row in ranked)
    by_user: dict[str, list[tuple[float, float]]] = {}
    for row in ranked:
        parts = row["score_parts"]
        product = parts["p_engage"] * parts["p_click"] ** 0.5
        by_user.setdefault(row["user_id"], []).append((parts["ranker_rank"], -product))
    for places in by_user.values():
        assert [product for _, product in sorted(places)] == sorted(product for _, product in places)
    skew = warehouse.read(data.INPUT_SKEW, where=today).collect()
    assert {row["head"] for row in skew} == set(WEIGHTS) and len(skew) > 40
    judged = warehouse.read(data.METRICS, where=today).where("stage = 'ranker' AND metric = 'ndcg' AND k > 0")
    assert judged.count() > 0
