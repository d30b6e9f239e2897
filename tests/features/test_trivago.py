"""Real shown lists: a plain model on these features beats the order shown, but not by as much as a leak would."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.features import daily, examples
from recsys.features.example_features import example_features
from tests.features import logs
from tests.support.data import DATA

pytestmark = [pytest.mark.real_data, pytest.mark.usefixtures("compiled")]

ROOT = DATA / "trivago-100k"
AS_OF = datetime(2018, 11, 9, tzinfo=UTC)
TEST_FROM = pd.Timestamp("2018-11-08 13:30")
LIST = "concat_ws(':', session_id, step)"


def log(spark: SparkSession) -> DataFrame:
    """Read actions on items, as a mapping would."""
    kind = F.when(F.col("action_type") == "clickout item", "click").otherwise("view")
    rows = spark.read.parquet(str(ROOT / "actions.parquet")).where(r"reference rlike '^[0-9]+$'")
    values = {
        "event_id": F.concat_ws(":", "session_id", "step", "timestamp"),
        "item_id": F.col("reference"),
        "event_type": kind,
        "event_time": F.timestamp_seconds("timestamp"),
        "event_date": F.to_date(F.timestamp_seconds("timestamp")),
        "session_step": F.col("step").cast("int"),
        "list_id": F.when(kind == "click", F.expr(LIST)),
    }
    return contract(rows, data.EVENTS, values)


def shown(spark: SparkSession) -> DataFrame:
    """Shown lists."""
    values = {
        "list_id": F.expr(LIST),
        "item_id": F.col("item_id").cast("string"),
        "session_step": F.col("step").cast("int"),
        "shown_at": F.timestamp_seconds("timestamp"),
        "shown_date": F.to_date(F.timestamp_seconds("timestamp")),
        "position": F.col("position").cast("int"),
        "price": F.col("price").cast("double"),
        "label": F.col("clicked").cast("double"),
        "country": F.col("platform"),
    }
    rows = spark.read.parquet(str(ROOT / "impressions.parquet")).dropDuplicates(["session_id", "step", "item_id"])
    return contract(rows, data.IMPRESSIONS, values)


def contract(rows: DataFrame, table: data.Table, values: dict[str, object]) -> DataFrame:
    values = {"user_id": F.col("user_id"), "session_id": F.col("session_id"), "device": F.col("device"), **values}
    values |= {"is_bot": F.lit(False)}
    return rows.select(*(values.get(c.name, F.lit(None)).cast(c.type).alias(c.name) for c in table.columns))  # type: ignore[attr-defined]


def inputs(frame: pd.DataFrame) -> np.ndarray:
    """Make inputs for a logistic model: logarithms of counts, flags for missing values, one-hot positions."""
    columns = []
    for name in (
        "price",
        "item_events_7d",
        "user_events_7d",
        "user_item_events",
        "user_item_seconds",
        "session_events",
        "session_item_events",
    ):
        columns += [np.log1p(frame[name].fillna(0)), frame[name].isna()]
    for name in ("price_rank_in_list", "price_to_list_mean", "is_last_item"):
        columns.append(frame[name].fillna(0))
    distance = frame["last_item_distance"]
    columns += [distance.isna(), *(distance == d for d in range(-3, 8))]
    columns += [frame["position"] == p for p in range(1, 26)]
    return np.column_stack([np.asarray(c, dtype=float) for c in columns])


@pytest.mark.skipif(not ROOT.exists(), reason=f"{ROOT} is not there; set RECSYS_DATA")
def test_a_plain_model_is_good_and_not_too_good(spark: SparkSession) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    events = log(spark).persist()
    found = examples.from_lists(examples.with_outcomes(shown(spark), events), as_of=AS_OF, window_days=30)
    rows = example_features(
        found.pairs,
        lists=found.lists,
        events=events,
        user_daily=daily.daily_partials(events, entity="user"),
        item_daily=daily.daily_partials(events, entity="item"),
        items=logs.frame(spark, data.ITEMS, []),
        users=logs.frame(spark, data.USERS, []),
        history_length=20,
        retrieved=(),
    )
    frame = rows.drop("ranks", "history").toPandas()
    events.unpersist()
    later = frame["example_time"] >= TEST_FROM
    x, y = StandardScaler().fit_transform(inputs(frame)), frame["label"].to_numpy()
    model = LogisticRegression(max_iter=300).fit(x[~later], y[~later])
    test = frame[later].assign(p=model.predict_proba(x[later])[:, 1])
    auc = roc_auc_score(test["label"], test["p"])
    ranks = test.groupby("list_id")["p"].rank(ascending=False, method="first")[test["label"] == 1]
    mrr = float((1 / ranks).sum() / test["list_id"].nunique())
    print(f"trivago: {len(test)} test rows, AUC {auc:.4f}, MRR {mrr:.4f}")
    assert 0.86 < auc < 0.92
    assert 0.58 < mrr < 0.66
