"""What every retriever keeps to. A new one is one line in RETRIEVERS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.errors import NothingToDo
from recsys.retrieval.als import AlsModel, AlsRetriever
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.neighbors import NeighborsModel, NeighborsRetriever
from recsys.retrieval.popular import PopularModel, PopularRetriever
from tests.retrieval.shop import WEIGHTS, Row, frames, made_up, table

pytestmark = pytest.mark.spark

RETRIEVERS: dict[str, tuple[Callable[[], Retriever], type[Any]]] = {
    "als": (lambda: AlsRetriever(rank=4, iterations=3), AlsModel),
    "neighbors": (lambda: NeighborsRetriever(k=20), NeighborsModel),
    "popular": (lambda: PopularRetriever(k=25, weights=WEIGHTS), PopularModel),
}
K = 6


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    # Two items that the same people touch in the same way: every retriever ties on them.
    twins = [Row(f"u{u:03d}", name, "view", 50.0) for u in range(0, 20, 2) for name in ("twin b", "twin a")]
    return [*made_up(30, 24), *twins]


@pytest.fixture(scope="module", params=sorted(RETRIEVERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(spark: SparkSession, name: str, rows: list[Row]) -> Model:
    fitted = RETRIEVERS[name][0]().fit(frames(spark, rows))
    kept = {key: frame.localCheckpoint() for key, frame in fitted.frames().items()}
    again: Model = RETRIEVERS[name][1].from_frames(kept)
    return again


@pytest.fixture(scope="module")
def users(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(f"u{u:03d}",) for u in range(30)], "user_id string")


@pytest.fixture(scope="module")
def found(model: Model, users: DataFrame) -> list[Any]:
    return model.recommend(users, k=K).collect()


def test_refit_on_other_partitions_gives_the_same(
    spark: SparkSession, name: str, rows: list[Row], users: DataFrame, found: list[Any]
) -> None:
    again = RETRIEVERS[name][0]().fit(frames(spark, list(reversed(rows)), partitions=7))
    recommended = again.recommend(users.repartition(5), k=K)
    assert table(recommended) == sorted((tuple(row) for row in found), key=repr)


def test_save_and_load(
    spark: SparkSession, name: str, model: Model, users: DataFrame, found: list[Any], tmp_path: Path
) -> None:
    for key, frame in model.frames().items():
        frame.write.parquet(str(tmp_path / key))
    loaded = RETRIEVERS[name][1].from_frames({key: spark.read.parquet(str(tmp_path / key)) for key in model.frames()})
    assert table(loaded.recommend(users, k=K)) == sorted((tuple(row) for row in found), key=repr)


def test_shape_ranks_order_and_ties(found: list[Any], users: DataFrame) -> None:
    assert found[0].asDict().keys() >= {"user_id", "item_id", "rank", "score"}
    lists: dict[str, list[Any]] = {}
    for row in sorted(found, key=lambda row: (row["user_id"], row["rank"])):
        lists.setdefault(row["user_id"], []).append(row)
    for mine in lists.values():
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert len({row["item_id"] for row in mine}) == len(mine) <= K
        keys = [(-row["score"], row["item_id"]) for row in mine]
        assert keys == sorted(keys), "by score, then by id"


def test_exclusion_is_exact(spark: SparkSession, model: Model, users: DataFrame, found: list[Any]) -> None:
    firsts = {(row["user_id"], row["item_id"]) for row in found if row["rank"] <= 2}
    everything = {("u003", f"i{i:03d}") for i in range(24)} | {("u003", "twin a"), ("u003", "twin b"), ("x", "y")}
    exclude = spark.createDataFrame(sorted(firsts | everything), "user_id string, item_id string")
    rest = model.recommend(users, k=K, exclude=exclude).collect()
    pairs = {(row["user_id"], row["item_id"]) for row in rest}
    assert not pairs & (firsts | everything)
    # What was third is first now.
    thirds = {(row["user_id"], row["item_id"]) for row in found if row["rank"] == 3 and row["user_id"] != "u003"}
    assert thirds == {
        (row["user_id"], row["item_id"])
        for row in rest
        if row["rank"] == 1 and (row["user_id"], row["item_id"]) in thirds
    }


def test_unknown_users_harm_nobody(spark: SparkSession, model: Model, found: list[Any]) -> None:
    asked = spark.createDataFrame([("u001",), ("nobody knows me",)], "user_id string")
    rows = model.recommend(asked, k=K).collect()
    known = sorted((tuple(row) for row in found if row["user_id"] == "u001"), key=repr)
    assert sorted((tuple(row) for row in rows if row["user_id"] == "u001"), key=repr) == known
    assert sum(row["user_id"] != "u001" for row in rows) in (0, K), "nothing, or a list for anybody"


def test_no_users_and_no_data(spark: SparkSession, name: str, model: Model, users: DataFrame) -> None:
    assert model.recommend(users.where("false"), k=K).count() == 0
    try:
        empty = RETRIEVERS[name][0]().fit(frames(spark, []))
    except NothingToDo:
        return
    assert empty.recommend(users, k=K).count() == 0
