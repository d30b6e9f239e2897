"""The true click probability of any pair: equal to what the generator drew from, on the rows that it wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.synthetic import ShopConfig
from recsys.synthetic.choices import POSITION_BIAS
from recsys.synthetic.frames import frame_of, item_ids, user_ids
from recsys.synthetic.items import item_index, sku_number
from recsys.synthetic.rate import session_rate
from recsys.synthetic.users import uid_number, user_index
from recsys.synthetic.value import day_of, true_click_probability
from recsys.synthetic.world import build_world

pytestmark = pytest.mark.spark

CFG = ShopConfig.for_events(3_000, days=12, seed=11, bot_event_share=0.1)


def test_ids_lead_back_to_their_index() -> None:
    world, index = build_world(CFG), np.arange(400)
    assert (user_index(world, uid_number(world, index)) == index).all()
    assert (item_index(world, sku_number(world, index)) == index).all()


def test_equal_to_what_the_shop_drew_from(spark: SparkSession, tmp_path: Path) -> None:
    world, day = build_world(CFG), 7
    truth = frame_of(spark, CFG, "truth", rate=session_rate(CFG), partitions=1).where(f"day = {day}")
    truth.write.parquet(str(tmp_path / "truth"))
    rows = pq.read_table(tmp_path / "truth").to_pandas()
    rows["user_id"] = user_ids(world, rows["visitor"].to_numpy()).to_pylist()
    assert len(rows) > 500
    pairs = spark.createDataFrame(rows[["position", "user_id", "item_id", "p_relevance", "p_click_true", "is_bot"]])
    found = true_click_probability(pairs.repartition(3), CFG, day=day).toPandas()
    assert found["p"].to_numpy() == pytest.approx(found["p_relevance"].to_numpy(), abs=1e-6)
    people = found[~found["is_bot"]]
    at = people["p"].to_numpy() * POSITION_BIAS[people["position"].to_numpy() - 1]
    assert at == pytest.approx(people["p_click_true"].to_numpy(), abs=1e-6)


def test_other_ids_have_no_probability(spark: SparkSession) -> None:
    world = build_world(CFG)
    user, item = user_ids(world, np.array([5]))[0].as_py(), item_ids(world, np.array([9]))[0].as_py()
    beyond = user_ids(world, np.array([CFG.n_users]))[0].as_py()
    pairs = [(user, item), (user, item), ("anon:s-1", item), (beyond, item), (user, "SKU-BAD00001"), (None, item)]
    found = true_click_probability(spark.createDataFrame(pairs, "user_id string, item_id string"), CFG, day=0)
    values = [row["p"] for row in found.collect()]
    assert values[0] == values[1] and 0 < values[0] < 1
    assert values[2:] == [None] * 4


def test_a_day_lies_within_the_log() -> None:
    assert day_of(CFG, CFG.start) == 0
    assert day_of(CFG, datetime(2024, 1, 12, 23, tzinfo=UTC)) == 11
    with pytest.raises(ValueError, match="not a day of the log"):
        day_of(CFG, CFG.end)
