"""Attributes beyond the contract as columns of the examples and inputs of the ranker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import load_config
from recsys.ctr.inputs.fit import check_inputs
from recsys.ctr.inputs.settings import attribute_inputs, default_inputs
from recsys.data import AttributeFeature
from recsys.errors import ConfigError
from recsys.features import daily
from recsys.features.attributes import attribute_columns
from recsys.features.example_features import example_features
from recsys.retrieval import registry
from tests.features import logs
from tests.features.logs import AS_OF
from tests.features.test_example_features import NAMES, pairs

pytestmark = pytest.mark.spark

GENRES = AttributeFeature("item", "genres", "multi_hot")
GENDER = AttributeFeature("user", "gender", "categorical")
WEATHER = AttributeFeature("context", "weather", "categorical")


@pytest.mark.parametrize(
    ("feature", "text", "value"),
    [
        (GENRES, "a| b |a||c", ["a", "b", "c"]),
        (GENRES, " | ", None),
        (GENRES, None, None),
        (AttributeFeature("item", "genres", "multi_hot", separator=".*"), "a.*b", ["a", "b"]),
        (GENDER, " f ", "f"),
        (GENDER, " ", None),
        (AttributeFeature("user", "pets", "numeric"), " 2.5 ", 2.5),
        (AttributeFeature("user", "pets", "numeric"), "many", None),
        (AttributeFeature("user", "pets", "numeric"), "NaN", None),
        (AttributeFeature("user", "pets", "numeric"), "Infinity", None),
    ],
)
def test_texts_are_read_by_kind(spark: SparkSession, feature: AttributeFeature, text: str | None, value: Any) -> None:
    rows = spark.createDataFrame([({feature.name: text},)], "attributes map<string,string>")
    columns = attribute_columns([feature], maps={feature.of: F.col("attributes")})
    name = feature.column.name
    (found,) = rows.select(columns[name].cast(feature.column.type).alias(name)).collect()
    assert found[name] == value


def test_they_are_those_of_the_time(spark: SparkSession) -> None:
    old, new = {"genres": "a|b", "gender": "f"}, {"genres": "z", "gender": "z"}
    states = [logs.item("i0", attributes=old), logs.item("i0", AS_OF, attributes=new)]
    people = [logs.user("u0", attributes=old), logs.user("u0", AS_OF, attributes=new)]
    features = (GENDER, GENRES, WEATHER)

    def computed(context: dict[str, str] | None) -> dict[str, Any]:
        rows = [
            {
                **dict.fromkeys(NAMES),
                "example_id": name,
                "list_id": name,
                "user_id": "u0",
                "item_id": "i0",
                "example_time": at,
            }
            for name, at in (("before", AS_OF), ("after", AS_OF + timedelta(seconds=1)))
        ]
        frame = pairs(spark, rows)
        if context:
            frame = frame.withColumn("attributes", F.create_map(*(F.lit(e) for pair in context.items() for e in pair)))
        nothing = logs.frame(spark, data.EVENTS, [])
        found = example_features(
            frame,
            events=nothing,
            user_daily=daily.daily_partials(nothing, entity="user"),
            item_daily=daily.daily_partials(nothing, entity="item"),
            items=logs.frame(spark, data.ITEMS, logs.history(states, "item_id")),
            users=logs.frame(spark, data.USERS, logs.history(people, "user_id")),
            history_length=4,
            retrieved=(),
            attributes=features,
        )
        names = [feature.column.name for feature in features]
        assert found.columns[-3:] == names and "attributes" not in found.columns
        return {row["example_id"]: [row[name] for name in names] for row in found.collect()}

    shown = computed({"weather": "rain"})
    assert shown == {"before": ["f", ["a", "b"], "rain"], "after": ["z", ["z"], "rain"]}
    assert computed(None)["before"] == ["f", ["a", "b"], None]


def test_they_are_columns_and_inputs(spark: SparkSession) -> None:
    features = (GENRES, AttributeFeature("user", "pets", "numeric"))
    table = registry.examples_table(registry.defaults(), features)
    assert [(c.name, c.type) for c in table.columns[-2:]] == [("item_genres", "array<string>"), ("user_pets", "double")]
    inputs = default_inputs((), attribute_inputs(features))
    assert [(i.name, i.source) for i in inputs[-2:]] == [("item_genres", "item_genres"), ("user_pets", "user_pets")]
    check_inputs(spark.createDataFrame([], table.ddl()).schema, inputs)


def test_a_name_that_is_taken_is_refused() -> None:
    entry = "{of: user, name: segment, kind: categorical}"
    with pytest.raises(ConfigError, match="segment of user would be the column user_segment"):
        load_config(overrides=[f"ctr_examples.attributes=[{entry}]"])
