"""The library's way: several retrievers fitted on a plain log, and lists with the caller's ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.data.log import Log
from recsys.errors import ConfigError, NothingToDo
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.hybrid import Hybrid, HybridModel, load
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.popular.retriever import Popular
from tests.retrieval.shop import made_up, table
from tests.support.settled import settled_hybrid, settled_log

pytestmark = pytest.mark.spark

ALS = Als(rank=4, iterations=3)


def frame() -> pd.DataFrame:
    """Who bought what: numbers for users and items."""
    rows = made_up(30, 20)
    times = pd.Timestamp("2024-03-01", tz="UTC") - pd.to_timedelta([row.hours for row in rows], unit="h")
    users, items = ([int(name[1:]) for name in names] for names in ([r.user for r in rows], [r.item for r in rows]))
    return pd.DataFrame({"customer": users, "sku": items, "ts": times})


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> Log:
    return settled_log(Log.from_frame(spark.createDataFrame(frame()), user="customer", item="sku", time="ts"))


@pytest.fixture(scope="module")
def model(log: Log) -> HybridModel:
    return settled_hybrid(Hybrid([ALS, ItemItem(), Popular()]).fit(log))


def test_lists_have_the_callers_ids_and_name_their_makers(model: HybridModel) -> None:
    found = model.recommend(k=5)
    assert [(field.name, field.dataType.simpleString()) for field in found.schema] == [
        ("user_id", "bigint"),
        ("item_id", "bigint"),
        ("rank", "int"),
        ("score", "double"),
        ("sources", "array<string>"),
    ]
    rows, seen = found.collect(), set(frame()[["customer", "sku"]].itertuples(index=False, name=None))
    lists: dict[int, list[Any]] = {}
    for row in sorted(rows, key=lambda row: (row["user_id"], row["rank"])):
        lists.setdefault(row["user_id"], []).append(row)
        assert (row["user_id"], row["item_id"]) not in seen
        assert row["sources"] == sorted(row["sources"]) and set(row["sources"]) <= {"als", "neighbors", "popular"}
    assert set(lists) == set(range(30))
    for mine in lists.values():
        assert [row["rank"] for row in mine] == [1, 2, 3, 4, 5]
        assert [row["score"] for row in mine] == sorted((row["score"] for row in mine), reverse=True)


def test_users_and_items_may_be_named(model: HybridModel, spark: SparkSession) -> None:
    everybody = {(r["user_id"], r["item_id"], r["rank"]) for r in model.recommend(k=4).collect()}
    some = model.recommend([3, 5], k=4).collect()
    assert {(r["user_id"], r["item_id"], r["rank"]) for r in some} == {row for row in everybody if row[0] in (3, 5)}
    catalog = pd.DataFrame({"sku": [1, 2, 3, 4], "available": [True, True, False, None]})
    users = spark.createDataFrame([(3,), (3,), (999,)], "customer bigint")
    found = model.recommend(users, k=9, exclude_seen=False, items=catalog).collect()
    assert {row["item_id"] for row in found} == {1, 2, 4}
    unknown = [row for row in found if row["user_id"] == 999]
    assert len(unknown) == 3 and all(row["sources"] == ["popular"] for row in unknown)


def test_a_long_list_and_a_user_who_has_seen_everything(model: HybridModel) -> None:
    rows = model.recommend(k=10_000, exclude_seen=False).collect()
    assert {len([r for r in rows if r["user_id"] == user]) for user in range(30)} == {20}
    with pytest.raises(ConfigError, match="k is 0"):
        model.recommend(k=0)


def test_saved_and_loaded(model: HybridModel, tmp_path: Path) -> None:
    model.save(str(tmp_path / "model"))
    again = load(str(tmp_path / "model"))
    assert isinstance(again, HybridModel)
    assert [one.settings for one in again.models] == [ALS, ItemItem(), Popular()]
    assert table(again.recommend(k=3)) == table(model.recommend(k=3))
    assert again.recommend(k=1).schema["item_id"].dataType.simpleString() == "bigint"


def test_fitted_weights_order_the_union_and_are_kept(log: Log, model: HybridModel, tmp_path: Path) -> None:
    """Everybody takes up what `popular` puts first for them: its weight is the largest."""
    alone = next(one for one in model.models if one.settings.name == "popular")
    taken = alone.recommend(k=1).select(F.col("user_id").alias("customer"), F.col("item_id").alias("sku"))
    fitted = model.with_fitted_weights(taken)
    assert fitted.blend is not None and model.blend is None
    weights = {name: fitted.blend.by_rank[name] / 11 + fitted.blend.by_score[name] for name in fitted.blend.by_rank}
    assert max(weights, key=lambda name: weights[name]) == "popular"
    first = table(fitted.recommend(k=1).select("user_id", "item_id"))
    assert first == table(taken)
    fitted.save(str(tmp_path / "model"))
    again = load(str(tmp_path / "model"))
    assert isinstance(again, HybridModel) and again.blend == fitted.blend
    assert Hybrid([ALS, Popular()], blend=fitted.blend).blend == fitted.blend
    with pytest.raises(ConfigError, match="the blend has no weight for wide"):
        Hybrid([Als(name="wide")], blend=fitted.blend)


def test_without_popularity_unknown_users_have_no_rows(log: Log) -> None:
    assert Hybrid([ItemItem()]).fit(log).recommend([999], k=3).count() == 0


def test_too_little_for_one_is_enough_for_others(spark: SparkSession) -> None:
    one = pd.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "a"], "event_time": ["2024-01-01", "2024-01-02"]})
    log = Log.from_frame(spark.createDataFrame(one))
    model = Hybrid([ALS, Popular()]).fit(log)
    assert [one.settings.name for one in model.models] == ["popular"]
    assert model.recommend(k=3).count() == 0, "the only item is seen"
    assert table(model.recommend(k=3, exclude_seen=False).select("user_id", "item_id")) == [("u", "a")]
    with pytest.raises(NothingToDo, match="als found"):
        Hybrid([ALS]).fit(log)


@pytest.mark.fast
def test_names_and_weights_are_checked() -> None:
    both = Hybrid([Als(rank=8), Als(name="wide", rank=64), Popular()], weights={"wide": 0.5})
    assert repr(both) == "Hybrid([Als(rank=8), Als(name='wide', weight=0.5, rank=64), Popular()])"
    assert [one.name for one in Hybrid().retrievers] == ["als", "neighbors", "popular"]
    with pytest.raises(ConfigError, match="two retrievers are called als"):
        Hybrid([Als(), Als(rank=8)])
    with pytest.raises(ConfigError, match="weight is given for eas"):
        Hybrid([Als()], weights={"eas": 1.0})
    with pytest.raises(ConfigError, match="retrievers is empty"):
        Hybrid([])
