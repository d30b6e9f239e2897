"""The factorization of shown lists: it learns who clicks what, and tells no pair what came later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.ctr.click_factors import ClickFactorsSettings, click_examples, fit_click_factors, with_click_affinity
from recsys.ctr.serving.bundle import ModelBundle
from recsys.errors import NothingToDo
from recsys.features.examples import from_lists, with_outcomes
from recsys.features.settings import CtrExamplesSettings
from recsys.store.snapshot import export
from tests.features import logs

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 3, 31, tzinfo=UTC)
SETTINGS = ClickFactorsSettings(width=4, epochs=8, min_count=1, l2=0.0)
EXAMPLES = CtrExamplesSettings(window_days=30, negatives_per_positive=100, shards=1)
USERS, ITEMS, LISTS = 12, 8, 15


def shown(clicked: Any) -> list[dict[str, Any]]:
    """Users see lists of four items; `clicked(user, item)` decides. Even items are of brand 0, odd ones of brand 1."""
    rows = []
    for user in range(USERS):
        for number in range(LISTS):
            at = AS_OF - timedelta(days=1 + number, minutes=user)
            for place in range(4):
                item = (user + number + place) % ITEMS
                rows.append(
                    logs.impression(
                        list_id=f"l{user}-{number}", user_id=f"u{user}", item_id=f"i{item}", shown_at=at,
                        position=place + 1, label=float(clicked(user, item)),
                    )
                )  # fmt: skip
    return rows


def catalog(spark: SparkSession) -> DataFrame:
    items = [logs.item(f"i{n}", brand=f"b{n % 2}", category="c") for n in range(ITEMS)]
    return logs.frame(spark, data.ITEMS, [*items, logs.item("new", brand="b0", category="c")])


def fitted(spark: SparkSession, folder: Path, clicked: Any) -> ModelBundle:
    outcomes = with_outcomes(logs.frame(spark, data.IMPRESSIONS, shown(clicked)), logs.frame(spark, data.EVENTS, []))
    lists = from_lists(outcomes, as_of=AS_OF, window_days=30)
    rows = click_examples(lists, catalog(spark), examples=EXAMPLES)
    export(rows, str(folder), shards={"train": 1})
    return fit_click_factors(rows, snapshot=str(folder), settings=SETTINGS, training={"threads": 1, "batch_size": 64})


@pytest.fixture(scope="module")
def bundle(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """Even users click brand 0, odd users brand 1."""
    return fitted(spark, tmp_path_factory.mktemp("lists"), lambda user, item: user % 2 == item % 2)


def pairs(spark: SparkSession, rows: list[tuple[str, str, datetime]]) -> DataFrame:
    named = [(f"e{n}", *row, n + 1) for n, row in enumerate(rows)]
    schema = "example_id string, user_id string, item_id string, example_time timestamp, position int"
    return spark.createDataFrame(named, schema)


def test_a_user_is_drawn_to_an_item_that_nobody_saw_by_its_brand(spark: SparkSession, bundle: ModelBundle) -> None:
    asked = pairs(spark, [("u0", "new", AS_OF), ("u1", "new", AS_OF)])
    found = with_click_affinity(asked, {AS_OF: bundle}, catalog(spark)).orderBy("user_id").collect()
    assert found[0]["click_affinity"] > 0 > found[1]["click_affinity"]


def test_before_the_first_fit_nothing_was_known(spark: SparkSession, bundle: ModelBundle) -> None:
    asked = pairs(spark, [("u0", "i0", AS_OF - timedelta(seconds=1)), ("u0", "i0", AS_OF)])
    before, at = with_click_affinity(asked, {AS_OF: bundle}, catalog(spark)).orderBy("example_id").collect()
    assert before["click_affinity"] is None and at["click_affinity"] is not None
    assert (before["position"], at["position"]) == (1, 2), "only what is scored stands at the first position"


def test_where_a_pair_stood_does_not_matter(spark: SparkSession, bundle: ModelBundle) -> None:
    asked = pairs(spark, [("u0", "i0", AS_OF)] * 3)
    found = with_click_affinity(asked, {AS_OF: bundle}, catalog(spark)).select("click_affinity").distinct()
    assert found.count() == 1


def test_lists_without_a_click_teach_nothing(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="0 were clicked"):
        fitted(spark, tmp_path, lambda user, item: False)


def test_without_a_fit_the_feature_is_null(spark: SparkSession) -> None:
    row = with_click_affinity(pairs(spark, [("u0", "i0", AS_OF)]), {}, catalog(spark)).first()
    assert row is not None and row["click_affinity"] is None
