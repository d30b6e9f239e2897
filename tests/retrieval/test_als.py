"""ALS: what it is fed, what it leaves, when it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from recsys.errors import NothingToDo
from recsys.retrieval.als import AlsRetriever, training_entries
from recsys.retrieval.versions import stamped, version_row
from recsys.tables import MODELS
from tests.retrieval.shop import AS_OF, FUTURE, Row, frames, made_up, table

pytestmark = pytest.mark.spark


def test_rare_users_and_items_are_left_out_of_the_training(spark: SparkSession) -> None:
    rows = [Row("u", "a"), Row("u", "b"), Row("v", "a"), Row("v", "b"), Row("w", "a"), Row("w", "rare")]
    given = frames(spark, rows)
    index = {r["user_id"]: r["idx"] for r in given.need("user_index").collect()}
    entries = training_entries(given, min_user_events=2, min_item_events=2).collect()
    assert sorted({row["user_idx"] for row in entries}) == sorted([index["u"], index["v"]])
    assert len(entries) == 4
    assert training_entries(given, min_user_events=1, min_item_events=1).count() == 6


def test_factors_carry_ids_and_the_future_changes_nothing(spark: SparkSession) -> None:
    rows = made_up()
    retriever = AlsRetriever(rank=4, iterations=3)
    with_future = frames(spark, rows + FUTURE)
    # The same index for both, as a stable index would give.
    without = replace(frames(spark, rows), user_index=with_future.user_index, item_index=with_future.item_index)
    model, again = retriever.fit(without), retriever.fit(with_future)
    assert table(model.item_factors) == table(again.item_factors)
    assert table(model.user_factors) == table(again.user_factors)
    assert set(model.user_factors.columns) == {"idx", "user_id", "factors"}
    assert model.metrics["users"] == model.user_factors.count() == 40
    assert model.metrics["items"] == model.item_factors.count()
    index = {(r["idx"], r["user_id"]) for r in with_future.need("user_index").collect()}
    assert {(r["idx"], r["user_id"]) for r in model.user_factors.collect()} <= index


def test_explicit_reports_its_error(spark: SparkSession) -> None:
    given = frames(spark, made_up(20, 12))
    model = AlsRetriever(rank=4, iterations=5, implicit=False, reg=0.05).fit(given)
    assert 0 < model.metrics["train_rmse"] < 2


@pytest.mark.parametrize("rows", [[], [Row("u", "a")], [Row("u", "a"), Row("u", "b")], [Row("u", "a"), Row("v", "b")]])
def test_too_little_data_is_said_in_one_sentence(spark: SparkSession, rows: list[Row]) -> None:
    with pytest.raises(NothingToDo, match=r"train_als found \d interactions before 2024-03-01T00:00:00Z"):
        AlsRetriever(rank=2).fit(frames(spark, rows))


def test_the_row_of_a_version_fits_its_table(spark: SparkSession) -> None:
    row = version_row(
        spark,
        version="als-x",
        kind="als",
        as_of=AS_OF,
        config="{}",
        metrics={"users": 2.0},
        data_versions={"events": 3},
    )
    assert row.columns == MODELS.column_names
    assert row.first()["metrics"] == {"users": 2.0}  # type: ignore[index]
    assert stamped(row.select("kind"), slot=1).collect() == [("als", 1)]
