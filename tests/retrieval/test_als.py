"""ALS: what it is fed, what it leaves, when it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from recsys.data import MODELS
from recsys.errors import NothingToDo
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.training import TrainingData
from recsys.store.models import stamped, version_row
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, Row, log_of, made_up, table

pytestmark = pytest.mark.spark


def test_rare_users_and_items_are_left_out_of_the_training(spark: SparkSession) -> None:
    rows = [Row("u", "a"), Row("u", "b"), Row("v", "a"), Row("v", "b"), Row("w", "a"), Row("w", "rare")]
    given = TrainingData(log_of(spark, rows), SIGNAL, None, 256)
    index = {r["user_id"]: r["idx"] for r in given.user_index.collect()}
    entries = Als(min_user_events=2, min_item_events=2).entries(given).collect()
    assert sorted({row["user_idx"] for row in entries}) == sorted([index["u"], index["v"]])
    assert len(entries) == 4
    assert Als(min_user_events=1, min_item_events=1).entries(given).count() == 6


def test_factors_carry_ids_and_the_future_changes_nothing(spark: SparkSession) -> None:
    rows = made_up()
    retriever = Als(rank=4, iterations=3)
    with_future = log_of(spark, rows + FUTURE)
    # The same index for both, as a stable index would give.
    without = replace(log_of(spark, rows), user_index=with_future.user_index, item_index=with_future.item_index)
    model, again = retriever.fit(without, signal=SIGNAL), retriever.fit(with_future, signal=SIGNAL)
    for name in ("item_factors", "user_factors"):
        assert table(model.frames[name]) == table(again.frames[name])
    users = model.frames["user_factors"]
    assert set(users.columns) == {"idx", "user_id", "factors"}
    assert model.metrics["users"] == users.count() == 40
    assert model.metrics["items"] == model.frames["item_factors"].count()
    assert with_future.user_index is not None
    index = {(r["idx"], r["user_id"]) for r in with_future.user_index.collect()}
    assert {(r["idx"], r["user_id"]) for r in users.collect()} <= index


def test_explicit_reports_its_error(spark: SparkSession) -> None:
    rows = [
        Row(row.user, row.item, "rating", row.hours, value=float(1 + place % 5))
        for place, row in enumerate(made_up(20, 12))
    ]
    model = Als(rank=4, iterations=5, implicit=False, reg=0.05).fit(log_of(spark, rows))
    assert 0 < model.metrics["train_rmse"] < 2


@pytest.mark.parametrize("rows", [[], [Row("u", "a")], [Row("u", "a"), Row("u", "b")], [Row("u", "a"), Row("v", "b")]])
def test_too_little_data_is_said_in_one_sentence(spark: SparkSession, rows: list[Row]) -> None:
    with pytest.raises(NothingToDo, match=r"als found \d interactions before 2024-03-01T00:00:00Z"):
        Als(rank=2).fit(log_of(spark, rows), signal=SIGNAL)


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
    assert stamped(row.select("kind"), {"slot": 1}).collect() == [("als", 1)]
