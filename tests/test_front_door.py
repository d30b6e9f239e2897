"""The front door as a notebook uses it: `import recsys` and plain frames, with the cases that break such libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

import recsys
from recsys.config import load_config
from recsys.errors import ConfigError, DataError, NothingToDo
from recsys.retrieval import registry
from tests.support.settled import settled_hybrid, settled_log

pytestmark = pytest.mark.spark

NAMES = {"user": "customer", "item": "sku", "time": "ts"}


def log_of(spark: SparkSession, rows: list[tuple[Any, ...]]) -> recsys.Log:
    frame = spark.createDataFrame(rows, "customer bigint, sku string, ts string")
    return recsys.Log.from_frame(frame, **NAMES)


def lists(frame: DataFrame) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for row in frame.orderBy("user_id", "rank").collect():
        found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> recsys.Log:
    """Two groups of users with tastes of their own; user 1 has seen everything; some pairs occur twice."""
    rows = [(1, f"i{n}", "2024-05-01") for n in range(8)]
    for user in range(2, 14):
        first = 0 if user % 2 == 0 else 4
        rows += [(user, f"i{first + n}", f"2024-05-{user:02d}") for n in range(4) if n != user // 2 % 4]
    return settled_log(log_of(spark, [*rows, *rows[:5]]))


@pytest.fixture(scope="module")
def model(log: recsys.Log) -> Any:
    return settled_hybrid(
        recsys.Hybrid([recsys.Als(rank=4, iterations=3), recsys.ItemItem(), recsys.Popular()]).fit(log)
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, recsys; assert not {'pyspark', 'tensorflow', 'pandas', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_the_front_door_is_there_and_documented() -> None:
    names = [name for name in dir(recsys) if not name.startswith("_")]
    assert {"Log", "Hybrid", "evaluate", "load", "session", "Signal"} <= set(names)
    assert {"Als", "ItemItem", "Popular", "DeepFM", "WideDeep"} <= set(names)
    for name in names:
        assert getattr(recsys, name).__doc__, f"recsys.{name} has no docstring"
    with pytest.raises(AttributeError, match="module recsys has no attribute Alss"):
        recsys.Alss  # noqa: B018


def test_the_config_and_the_library_have_the_same_defaults() -> None:
    assert load_config().retrievers == tuple(registry.get(kind)() for kind in registry.kinds()[:3])


def test_repr_shows_what_was_set() -> None:
    assert repr(recsys.Als(rank=8, alpha=2.0)) == "Als(rank=8, alpha=2.0)"
    assert repr(recsys.Hybrid([recsys.Popular(weight=0.5)])) == "Hybrid([Popular(weight=0.5)])"


def test_lists_have_the_callers_types_and_name_their_sources(model: Any) -> None:
    found = model.recommend(k=3)
    assert dict(found.dtypes) == {
        "user_id": "bigint", "item_id": "string", "rank": "int", "score": "double", "sources": "array<string>",
    }  # fmt: skip
    assert {source for row in found.collect() for source in row["sources"]} == {"als", "neighbors", "popular"}


def test_nothing_seen_is_recommended_and_who_has_seen_everything_gets_no_rows(log: recsys.Log, model: Any) -> None:
    seen = {(int(row["user_id"]), row["item_id"]) for row in log.events.collect()}
    found = lists(model.recommend(k=8))
    assert 1 not in found
    assert not {(user, item) for user, items in found.items() for item in items} & seen
    assert set(found) == set(range(2, 14))


def test_more_than_the_catalog_holds_gives_what_there_is(model: Any) -> None:
    found = lists(model.recommend(users=[2, 3], k=1000))
    assert {len(items) for items in found.values()} == {5}
    again = lists(model.recommend(users=[2], k=1000, exclude_seen=False))
    assert len(again[2]) == 8


def test_users_may_be_a_list_or_a_frame_and_need_not_be_known(spark: SparkSession, model: Any) -> None:
    asked = lists(model.recommend(users=pd.DataFrame({"customer": [2, 2, 999]}), k=2))
    assert set(asked) == {2, 999}
    assert asked[2] == lists(model.recommend(users=[2], k=2))[2]
    named = spark.createDataFrame([(2,), (999,)], "customer bigint")
    assert lists(model.recommend(users=named, k=2)) == asked


def test_only_eligible_items_come_back(model: Any) -> None:
    catalog = pd.DataFrame({"sku": ["i0", "i5", "new"], "available": [True, True, True]})
    found = {item for items in lists(model.recommend(k=5, items=catalog)).values() for item in items}
    assert found == {"i0", "i5"}
    gone = catalog.assign(available=[False, True, True])
    assert {i for items in lists(model.recommend(k=5, items=gone)).values() for i in items} == {"i5"}
    nothing = catalog.iloc[:0].astype({"sku": "string"})
    assert lists(model.recommend(k=5, items=nothing)) == {}


def test_a_list_needs_room(model: Any) -> None:
    with pytest.raises(ConfigError, match="k is 0; ask for at least one item"):
        model.recommend(k=0)


@pytest.mark.parametrize("name", ["Als", "ItemItem", "Popular"])
def test_each_retriever_stands_alone(log: recsys.Log, name: str) -> None:
    settings = {"rank": 4} if name == "Als" else {}
    found = getattr(recsys, name)(**settings).fit(log).recommend(k=2)
    assert found.columns == ["user_id", "item_id", "rank", "score"]
    assert dict(found.dtypes)["user_id"] == "bigint"
    assert set(lists(found)) <= set(range(2, 14))


def test_saved_models_come_back(log: recsys.Log, model: Any, tmp_path: Path) -> None:
    model.save(str(tmp_path / "hybrid"))
    assert lists(recsys.load(str(tmp_path / "hybrid")).recommend(k=3)) == lists(model.recommend(k=3))
    alone = recsys.Popular().fit(log)
    alone.save(str(tmp_path / "popular"))
    assert lists(recsys.load(str(tmp_path / "popular")).recommend(k=3)) == lists(alone.recommend(k=3))
    with pytest.raises(DataError, match="holds no saved model"):
        recsys.load(str(tmp_path / "nothing"))


def test_one_user_and_one_item_are_enough_for_popularity(spark: SparkSession) -> None:
    alone = log_of(spark, [(7, "only", "2024-05-01")])
    assert lists(recsys.Popular().fit(alone).recommend(k=3, exclude_seen=False)) == {7: ["only"]}
    with pytest.raises(NothingToDo, match="als found 0 interactions"):
        recsys.Als().fit(alone)
    hybrid = recsys.Hybrid([recsys.Als(), recsys.ItemItem(), recsys.Popular()]).fit(alone)
    assert lists(hybrid.recommend(k=3, exclude_seen=False)) == {7: ["only"]}
    assert lists(hybrid.recommend(k=3)) == {}


def test_settings_are_checked(log: recsys.Log) -> None:
    with pytest.raises(ConfigError, match="Als has no setting rankk; did you mean rank?"):
        recsys.Als(rankk=3)
    with pytest.raises(ConfigError, match="two retrievers are called als"):
        recsys.Hybrid([recsys.Als(), recsys.Als(rank=3)])
    two = recsys.Hybrid([recsys.Als(rank=2, iterations=1), recsys.Als(name="wide", rank=4, iterations=1)]).fit(log)
    assert {source for row in two.recommend(k=4).collect() for source in row["sources"]} == {"als", "wide"}
