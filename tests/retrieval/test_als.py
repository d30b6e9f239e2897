"""ALS: what it is fed, what it leaves, when it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from recsys.data import MODELS
from recsys.errors import ConfigError, NothingToDo
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.settings import SignalSettings
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


def test_what_is_not_given_comes_from_the_data_and_can_be_read(spark: SparkSession) -> None:
    rows = [Row(f"u{u}", f"i{i}", "view") for u in range(4) for i in range(6) if (u + i) % 2]
    model = Als(iterations=1, fold_in=False, search="hnsw").fit(
        log_of(spark, [*rows, Row("thin", "i0")]), signal=SIGNAL
    )
    # 12 pairs of weight 1 among 4 x 6: alpha .05 x 24 / 12 is below its bound of 1; the rank at its least.
    figures = {"rank": 8.0, "iterations": 1.0, "reg": 0.1, "alpha": 1.0, "users": 4.0, "items": 6.0}
    # A graph finds all of so few items.
    assert model.metrics == {**figures, "interactions": 12.0, "hnsw_recall": 1.0}
    assert model.frames["user_factors"].count() == 4, "whoever the fit leaves out is not folded in"


@pytest.mark.parametrize(
    ("settings", "rows", "sentence"),
    [
        (Als(implicit=False), [Row("u", "a"), Row("v", "a")], "log has events of the types view alone; set it to true"),
        (Als(implicit=False), [Row("u", "a", "rating")], "retrievers.als.implicit is false, but the ratings have no"),
        (
            Als(),
            [Row("u", "a", "search"), Row("v", "a", "cart")],
            "types cart, search alone, .* set signal.weights.cart",
        ),
    ],
)
def test_no_interactions_name_the_key(spark: SparkSession, settings: Als, rows: list[Row], sentence: str) -> None:
    with pytest.raises(NothingToDo, match=f"als found 0 interactions before 2024-03-01T00:00:00Z: .*{sentence}"):
        settings.fit(log_of(spark, rows), signal=SIGNAL)


def test_equations_without_a_solution_are_said_in_one_sentence(spark: SparkSession) -> None:
    rows = [Row(f"u{u}", f"i{i}", "view", value=1.0) for u in range(3) for i in range(3)]
    with pytest.raises(ConfigError, match=r"reg 0 and rank 8; raise retrievers.als.reg \(null chooses one\), or lower"):
        Als(rank=8, reg=0, iterations=2).fit(log_of(spark, rows), signal=SIGNAL)
    rows[0] = Row("u0", "i0", "view", value=1e12)
    signal = SignalSettings(weights={"view": 1.0}, use_value="linear")
    with pytest.raises(ConfigError, match=r"the largest weight or rating of a pair is 1e\+08 and the median 1; clean"):
        Als(rank=2, reg=0, alpha=1, iterations=5).fit(log_of(spark, rows), signal=signal)


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
