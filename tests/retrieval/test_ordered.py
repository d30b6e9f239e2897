"""What follows what, from events to lists."""

from __future__ import annotations

from collections import defaultdict

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.config import load_config
from recsys.errors import NothingToDo
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience
from recsys.retrieval.ordered.retriever import Ordered, OrderedModel
from recsys.retrieval.settings import SignalSettings
from recsys.retrieval.touches import touches
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, Row, events_of, index, log_of, table

pytestmark = pytest.mark.spark


def test_from_events_to_lists(spark: SparkSession) -> None:
    """Robots and what comes after the instant count for nothing, and an event without interest is no touch."""
    rows = [
        *(Row(user, item, hours=hours) for user in "uvw" for item, hours in (("a", 9), ("b", 5), ("c", 3))),
        *(Row("x", item, hours=hours) for item, hours in (("a", 9), ("c", 5))),
        *(Row("robot", item, hours=hours, bot=True) for item, hours in (("c", 9), ("a", 5))),
        *(Row("y", item, "return", hours) for item, hours in (("c", 9), ("a", 5))),
        *FUTURE,
    ]
    chain = Ordered(window=1, backward=0, user_power=0, source_power=1, target_power=0, min_support=1)
    model = chain.fit(log_of(spark, rows), signal=SIGNAL, broadcast_limit_mb=1e-6)
    found = model.frames["successors"].select("item_id", "rank", "successor_id", "score", "support")
    quarter = pytest.approx(0.25)
    assert table(found) == [("a", 1, "b", 0.75, 3), ("a", 2, "c", quarter, 1), ("b", 1, "c", 1.0, 3)]


def test_touches(spark: SparkSession) -> None:
    rows = [Row("u", "late", hours=1), Row("u", "old", hours=80), Row("u", "low", "rating", 2, value=1.0)]
    signal = SignalSettings(weights={"view": 1.0, "rating": 1.0}, window_days=3, min_value=3.0)
    events = events_of(spark, [*rows, Row("u", "good", "rating", 2, value=4.0), *FUTURE])
    found = touches(events, as_of=AS_OF, signal=signal, within="history").drop("u")
    at = int(AS_OF.timestamp()) * 1_000_000
    assert table(found) == [("good", at - 7_200_000_000, 0), ("late", at - 3_600_000_000, 0)]


def test_sessions_are_sequences_of_their_own(spark: SparkSession) -> None:
    """One user, two sessions at the same time, and an event without one."""
    rows = [("a", "s", 2), ("b", "t", 1), ("c", "s", 1), ("d", "t", 2), ("e", None, 3)]
    events = events_of(spark, [Row("u", item) for item, _, _ in rows]).drop("session_id")
    told = spark.createDataFrame(rows, "item_id string, session_id string, session_step int")
    both = events.join(told, on="item_id", how="inner")
    found = touches(both, as_of=AS_OF, signal=SIGNAL, within="session")
    sequences: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in found.collect():
        sequences[row["u"]].append((row["step"], row["item_id"]))
    assert sorted(sorted(mine) for mine in sequences.values()) == [[(1, "b"), (2, "d")], [(1, "c"), (2, "a")]]


def test_a_log_without_sessions_says_so(spark: SparkSession) -> None:
    with pytest.raises(NothingToDo, match="retrievers.ordered.within to history"):
        Ordered(within="session").fit(log_of(spark, [Row("u", "a")]), signal=SIGNAL)


def test_the_latest_item_leads(spark: SparkSession) -> None:
    """u touched b last: .5 x .6 + .4 for x. y is two steps of decay away from old."""
    successors = spark.createDataFrame(
        [("a", 1, "x", 0.6, 2), ("b", 1, "x", 0.4, 2), ("old", 1, "y", 0.8, 2)],
        "item_id string, rank int, successor_id string, score double, support bigint",
    )
    past = [("u", "old", 9.0, 1), ("u", "a", 5.0, 8), ("u", "b", 1.0, 9)]
    histories = spark.createDataFrame(past, "user_id string, item_id string, weight double, last_time int")
    histories = histories.withColumn("last_time", F.timestamp_seconds("last_time"))
    users = spark.createDataFrame([("u",)], "user_id string")
    audience = Audience(users, histories, index(spark, "item", ["a", "b", "old", "x", "y"]))
    model = OrderedModel(Ordered(history_decay=0.5), {"successors": successors}, audience)
    assert table(model.lists(users, k=5)) == [("u", "x", 1, 0.4 + 0.5 * 0.6, "b"), ("u", "y", 2, 0.25 * 0.8, "old")]


def test_it_is_known_but_not_in_the_default_list() -> None:
    assert "ordered" in registry.kinds() and "ordered" not in [one.kind for one in registry.defaults()]
    chain = load_config(overrides=["retrievers.next={kind: ordered, window: 1, backward: 0}"]).retrievers[-1]
    assert chain == Ordered(name="next", window=1, backward=0)
