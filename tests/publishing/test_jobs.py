"""rank, publish and evaluate on a planted warehouse: right rows, a second run, future events, shut gates."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, Row, SparkSession

from jobs import evaluate, publish, rank
from recsys import data
from recsys.config import Config
from recsys.environment import WarehouseSettings
from recsys.errors import DataError, NothingToDo
from recsys.pipeline import execute
from recsys.publishing.gates import published
from recsys.rerank.lists import newest_model
from recsys.retrieval import registry
from recsys.retrieval.settings import SignalSettings
from recsys.store import PinnedWarehouse, Warehouse
from recsys.store.retrievers import Fit, writes_of

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
TODAY = date(2020, 1, 10)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
STAMP = {"source": "test", "batch_id": "b", "ingested_at": AS_OF}


def rows_for(spark: SparkSession, table: data.Table, rows: list[dict[str, Any]]) -> DataFrame:
    filled = [tuple(row.get(name) for name in table.column_names) for row in rows]
    return spark.createDataFrame(filled, table.ddl().replace(" NOT NULL", ""))


def event(user: str, item: str, kind: str, days: float, *, bot: bool = False) -> dict[str, Any]:
    time = AS_OF + timedelta(days=days)
    return {
        "event_id": f"{user}-{item}-{kind}-{days}",
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "event_time": time,
        "event_date": time.date(),
        "is_bot": bot,
        **STAMP,
    }


def item(name: str, category: str, *, available: bool = True) -> dict[str, Any]:
    return {
        "item_id": name,
        "valid_from": LONG_AGO,
        "is_current": True,
        "title": f"Title of {name}",
        "category": category,
        "available": available,
        **STAMP,
    }


def candidate(user: str, name: str, place: int, ranks: dict[str, int], because: str | None = None) -> dict[str, Any]:
    return {
        "run_date": TODAY,
        "as_of": AS_OF,
        "user_id": user,
        "item_id": name,
        "rank": place,
        "score": 1.0 / place,
        "sources": sorted(ranks),
        "ranks": ranks,
        "scores": {source: 1.0 / rank for source, rank in ranks.items()},
        "because_item_id": because,
    }


PAST = [
    event("u1", "i0", "purchase", -3),
    event("u1", "i1", "view", -2),
    event("u2", "i1", "view", -1),
    event("robot", "i2", "view", -1, bot=True),
]
LATER = [
    event("u1", "i2", "purchase", 0.5),
    event("u1", "i0", "purchase", 1),
    event("u2", "i5", "click", 2),
    event("u2", "i3", "click", 9),
    event("newcomer", "i1", "click", 1),
    event("robot", "i2", "click", 1, bot=True),
]


SETTINGS = {"rank": {"k": 3, "diversity": 0.2}, "evaluate": {"ks": (1, 3), "bootstrap": 50}}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"warehouse": {"path": str(tmp_path / "warehouse")}, **SETTINGS})


@pytest.fixture(scope="module")
def shelf(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A warehouse with a catalog, candidates and what the retrievers learned."""
    warehouse = Warehouse(spark, WarehouseSettings(path=str(tmp_path_factory.mktemp("shelf") / "warehouse")))
    catalog = [item(f"i{n}", "even" if n % 2 == 0 else "odd", available=n != 9) for n in range(10)]
    proposals = [
        candidate("u1", "i2", 1, {"neighbors": 1, "als": 3}, because="i0"),
        candidate("u1", "i4", 2, {"als": 1}),
        candidate("u1", "i6", 3, {"als": 2}),
        candidate("u1", "i3", 4, {"popular": 1}),
        candidate("u2", "i3", 1, {"popular": 1}),
        candidate("u2", "i5", 2, {"popular": 2}),
    ]
    listed = [
        {"segment": "", "rank": n, "item_id": name, "score": 1.0 / n}
        for n, name in enumerate(("i9", "i0", "i3", "i5", "i2"), start=1)
    ]
    for table, rows in ((data.ITEMS, catalog), (data.CANDIDATES, proposals)):
        warehouse.replace(table, rows_for(spark, table, rows), where={})
    learned = {
        "user_factors": [{"idx": 1, "user_id": "u1", "factors": [1.0]}],
        "item_factors": [{"idx": 1, "item_id": "i2", "factors": [1.0]}],
        "neighbors": [{"item_id": "i0", "rank": 1, "neighbor_id": "i2", "score": 1.0, "support": 2}],
        "popular": listed,
    }
    fits: list[Fit] = []
    for retriever in registry.defaults():
        frames = {name: rows_for(spark, table, learned[name]) for name, table in retriever.tables.items()}
        partitions = {"as_of", *(column for table in retriever.tables.values() for column in table.partitions)}
        model = retriever.model(retriever, {name: frame.drop(*partitions) for name, frame in frames.items()})
        fits.append((retriever, model))
    pinned = PinnedWarehouse(spark, warehouse.config)
    for write in writes_of(pinned, fits, as_of=AS_OF, signal=SignalSettings(), config="{}"):
        warehouse.write(write)
    return warehouse.root


def content(warehouse: Warehouse, table: data.Table) -> list[Row]:
    kept = [name for name in table.column_names if name not in table.volatile]
    return warehouse.read(table).select(*kept).orderBy(*table.key).collect()


@pytest.fixture(scope="module")
def published_shelf(spark: SparkSession, shelf: str, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """That warehouse after events of the past alone, ranked and published, for each test to read or copy."""
    root = tmp_path_factory.mktemp("published") / "warehouse"
    shutil.copytree(shelf, root)
    config = Config.model_validate({"warehouse": {"path": str(root)}, **SETTINGS})
    warehouse = Warehouse(spark, config.warehouse)
    warehouse.replace(data.EVENTS, rows_for(spark, data.EVENTS, PAST), where={})
    with pytest.raises(DataError, match="run the job rank first"):
        execute(publish.run, spark, config, AS_OF)
    execute(rank.run, spark, config, AS_OF)
    execute(publish.run, spark, config, AS_OF)
    return warehouse


@pytest.fixture
def warehouse(spark: SparkSession, config: Config, published_shelf: Warehouse) -> Warehouse:
    """A copy of it, to go on from."""
    shutil.copytree(published_shelf.root, config.warehouse.path)
    return Warehouse(spark, config.warehouse)


def test_rank_and_publish(published_shelf: Warehouse) -> None:
    lists = published_shelf.read(data.RECOMMENDATIONS).orderBy("user_id", "rank").collect()
    # Without a ranker the retrieval order decides; after i2 (even) the odd i3 costs nothing, i4 a tenth.
    assert [(row["user_id"], row["rank"], row["item_id"]) for row in lists] == [
        ("u1", 1, "i2"),
        ("u1", 2, "i4"),
        ("u1", 3, "i3"),
        ("u2", 1, "i3"),
        ("u2", 2, "i5"),
    ]
    assert [row["reason"] for row in lists] == [
        "Because you bought Title of i0",
        "People with similar taste chose this",
        "Popular now",
        "Popular now",
        "Popular now",
    ]
    assert {row["title"] for row in lists} == {f"Title of {name}" for name in ("i2", "i3", "i4", "i5")}
    assert {row["model_version"] for row in lists} == {"retrieval"}
    parts = published_shelf.read(data.RANKED).where("user_id = 'u1' AND rank = 3").first()
    assert parts is not None and parts["prediction"] is None and parts["score_parts"]["retrieval_weight"] == 1.0


def test_evaluate_twice(spark: SparkSession, config: Config, warehouse: Warehouse) -> None:
    warehouse.merge(data.EVENTS, rows_for(spark, data.EVENTS, LATER), update=False)
    execute(evaluate.run, spark, config, AS_OF)
    found = {(r["stage"], r["slice"], r["metric"], r["k"]): r for r in warehouse.read(data.METRICS).collect()}
    # Truth: u1 i2 (i0 was seen), u2 i5, newcomer i1; the robot and what comes after the horizon do not count.
    assert found["final", "all", "recall", 1]["value"] == pytest.approx(1 / 3)
    assert found["final", "all", "recall", 3]["value"] == pytest.approx(2 / 3)
    assert found["final", "known", "recall", 3]["value"] == pytest.approx(1.0)
    assert found["final", "all", "no_list", 0]["value"] == pytest.approx(1 / 3)
    # Popularity alone: i9 is unavailable, u1 has seen i0: i3, i5, i2 for u1 and i0, i3, i5 for u2.
    assert found["popular", "all", "mrr", 3]["value"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert found["popular", "all", "no_list", 0]["value"] == pytest.approx(1 / 3)
    assert found["final-popular", "all", "mrr", 3]["value"] == pytest.approx((1 + 1 / 2 - 2 / 3) / 3)
    assert found["neighbors", "all", "hit_rate", 1]["value"] == pytest.approx(1 / 3)
    assert not any("ranker" in stage for stage, *_ in found), "there is no ranker to judge"
    # Nine of ten items are in the catalog; the lists hold i2, i3, i4, i5.
    assert found["final", "all", "coverage", 3]["value"] == pytest.approx(4 / 9)

    report = Path(warehouse.path("reports", "20200110T000000Z", "report.html")).read_text(encoding="utf-8")
    assert "Because you bought Title of i0" in report and "final-popular" in report
    assert not re.search(r"(src|href)=\"(?!data:)", report), "the file stands alone"

    first = content(warehouse, data.METRICS)
    execute(evaluate.run, spark, config, AS_OF)
    assert content(warehouse, data.METRICS) == first
    assert spark.table("metrics_latest").where("stage = 'final-popular'").count() > 0
    _readers_agree(spark, warehouse)


def _readers_agree(spark: SparkSession, warehouse: Warehouse) -> None:
    """What docs/sql.md shows analysts: views, the statements beside the tables, deltalake and DuckDB."""
    assert spark.table("recommendations_latest").count() == 5
    assert spark.table("recommendations_with_items").where("category = 'odd'").count() == 3
    by_user = {row["user_id"]: row["items"] for row in spark.table("recommendations_by_user").collect()}
    assert by_user == {"u1": ["i2", "i4", "i3"], "u2": ["i3", "i5"]}
    fresh = spark.newSession()
    for text in Path(warehouse.path("views.sql")).read_text(encoding="utf-8").split(";\n"):
        if text.strip():
            fresh.sql(text)
    assert fresh.table("recommendations_latest").count() == 5
    database = duckdb.connect()
    database.register("published", DeltaTable(f"{warehouse.root}/recommendations").to_pyarrow_dataset())
    answer = database.sql("SELECT user_id, list(item_id ORDER BY rank) FROM published GROUP BY 1 ORDER BY 1").fetchall()
    assert answer == [("u1", ["i2", "i4", "i3"]), ("u2", ["i3", "i5"])]


def test_a_second_run_after_a_future_came_changes_nothing(
    spark: SparkSession, config: Config, warehouse: Warehouse
) -> None:
    before = [content(warehouse, table) for table in (data.RANKED, data.RECOMMENDATIONS)]
    with pytest.raises(NothingToDo, match="no user has a relevant event"):
        execute(evaluate.run, spark, config, AS_OF)
    planted = [event("u1", "i2", "purchase", 0), event("u1", "i4", "purchase", 0.1), *LATER]
    later = rows_for(spark, data.EVENTS, planted)
    warehouse.merge(data.EVENTS, later, update=False)
    state = {**item("i2", "even", available=False), "valid_from": AS_OF + timedelta(hours=1), "title": "Future title"}
    warehouse.merge(data.ITEMS, rows_for(spark, data.ITEMS, [state]), update=False)
    execute(rank.run, spark, config, AS_OF)
    execute(publish.run, spark, config, AS_OF)
    assert [content(warehouse, table) for table in (data.RANKED, data.RECOMMENDATIONS)] == before
    _readers_agree(spark, warehouse)


def test_a_shut_gate_leaves_what_was_published(spark: SparkSession, config: Config, warehouse: Warehouse) -> None:
    version = warehouse.version(data.RECOMMENDATIONS)
    gone = {**item("i2", "even", available=False), "valid_from": AS_OF - timedelta(hours=1)}
    warehouse.merge(data.ITEMS, rows_for(spark, data.ITEMS, [gone]), update=False)
    with pytest.raises(DataError, match="gate unavailable_items: 1 rows"):
        execute(publish.run, spark, config, AS_OF)
    assert warehouse.version(data.RECOMMENDATIONS) == version


def test_lists_of_another_instant_of_the_day_are_not_taken(
    spark: SparkSession, config: Config, warehouse: Warehouse
) -> None:
    """One slice a day: what was made for midnight is not judged, published or ranked for noon."""
    warehouse.merge(data.EVENTS, rows_for(spark, data.EVENTS, LATER), update=False)
    noon, version = AS_OF + timedelta(hours=12), warehouse.version(data.RECOMMENDATIONS)
    with pytest.raises(DataError, match="candidates holds nothing for 2020-01-10T12:00:00Z; run the job candidates"):
        execute(rank.run, spark, config, noon)
    with pytest.raises(DataError, match="ranked holds nothing for 2020-01-10T12:00:00Z; run the job rank"):
        execute(publish.run, spark, config, noon)
    with pytest.raises(DataError, match="run the job publish for this as_of first"):
        execute(evaluate.run, spark, config, noon)
    assert warehouse.version(data.RECOMMENDATIONS) == version
    assert not warehouse.exists(data.METRICS)


def test_the_reserve_is_never_published(spark: SparkSession) -> None:
    rows = [("u", 1, {"reserve": 0.0}), ("u", 2, {"reserve": 1.0}), ("u", 3, {"reserve": 1.0})]
    ranked = spark.createDataFrame(rows, "user_id string, rank int, score_parts map<string,double>")
    assert [row["rank"] for row in published(ranked, k=2).collect()] == [1]


def test_a_model_s_instant_has_a_zone(spark: SparkSession, in_new_york: None) -> None:
    """A collected timestamp has none, and a driver elsewhere would look for its examples at another instant."""
    columns = "model_version string, kind string, as_of timestamp, created_at timestamp"
    models = spark.createDataFrame([("ctr-1", "ctr", AS_OF, AS_OF)], columns)
    found = newest_model(models, kind="ctr", as_of=AS_OF)
    assert found is not None and found["as_of"] == AS_OF
    assert "created_at" not in found
