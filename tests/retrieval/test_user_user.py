"""User-user against sums in Python: from neighbors to lists without Spark, and once from events to lists."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from recsys.retrieval import registry
from recsys.retrieval.entries import parse
from recsys.retrieval.interactions import interactions
from recsys.retrieval.user_user.adding import OWN, Choices
from recsys.retrieval.user_user.retriever import UserUser
from recsys.retrieval.user_user.sharing import choices, histories
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, Row, log_of, made_up

Rows = list[tuple[str, int, float, dict[int, float]]]
"""User, rank, similarity, and the share of each item."""
ROWS: Rows = [
    ("a", OWN, 0.0, {10: 1.0, 11: 0.5}),
    ("a", 1, 0.8, {10: 0.75, 20: 1.0, 21: 0.25}),
    ("a", 2, 0.4, {20: 0.5, 11: 1.0}),
    ("b", OWN, 0.0, {20: 1.0}),
    ("c", OWN, 0.0, {21: 1.0}),
    ("c", 1, 0.1, {20: 1.0, 21: 1.0, 22: 1.0, 23: 1.0, 24: 0.9}),
]


def made(rows: Rows, keep: int, cut: int = 100) -> list[tuple[str, int, float, int, bool]]:
    """Run the kernel on batches of some rows."""
    table = pa.table(
        {
            "u": [sum(map(ord, user)) * 7919 for user, *_ in rows],
            "user_id": [user for user, *_ in rows],
            "rank": pa.array([rank for _, rank, *_ in rows], pa.int32()),
            "score": [score for *_, score, _ in rows],
            "idx": pa.array([list(past) for *_, past in rows], pa.list_(pa.int32())),
            "share": pa.array([list(past.values()) for *_, past in rows], pa.list_(pa.float64())),
        }
    )
    found = Choices(keep).lists(table.to_batches(max_chunksize=cut))
    return sorted(tuple(row.values()) for batch in found for row in batch.to_pylist())


@pytest.mark.fast
def test_similarity_times_share_is_added_up() -> None:
    assert made(ROWS, 9) == [
        ("a", 10, 0.8 * 0.75, 1, True),
        ("a", 11, 0.4 * 1.0, 1, True),
        ("a", 20, 0.8 * 1.0 + 0.4 * 0.5, 2, False),
        ("a", 21, 0.8 * 0.25, 1, False),
        *(("c", item, 0.1, 1, item == 21) for item in (20, 21, 22, 23)),
        ("c", 24, 0.1 * 0.9, 1, False),
    ]


@pytest.mark.fast
def test_as_many_that_are_touched_as_not_are_kept() -> None:
    found = made(ROWS, 1)
    assert [row[1] for row in found if row[0] == "a"] == [10, 20], "11 and 21 have less"
    assert sum(user == "c" and not touched for user, *_, touched in found) == 1
    assert ("c", 21, 0.1, 1, True) in found


@pytest.mark.fast
def test_users_that_batches_cut_stay_whole() -> None:
    assert made(ROWS, 2, cut=1) == made(ROWS, 2)


@pytest.mark.fast
def test_who_ties_at_the_end_loses_different_items() -> None:
    """Twenty users with the same neighbor of forty equal items: an order by number would keep the same five of all."""
    rows: Rows = []
    for name in sorted(f"u{n:02d}" for n in range(20)):
        rows += [(name, OWN, 0.0, {1: 1.0}), (name, 1, 0.5, dict.fromkeys(range(100, 140), 1.0))]
    found = made(rows, 5)
    assert len(found) == 100 and len({item for _, item, *_ in found}) > 15


@pytest.mark.fast
def test_settings_and_names() -> None:
    assert "user_user" in registry.kinds() and "user_user" not in [one.kind for one in registry.defaults()]
    with pytest.raises(ValueError, match="similarity cosine takes no item_power"):
        parse({"kind": "user_user", "similarity": "cosine", "item_power": 1.0})
    with pytest.raises(ValueError, match="rp3beta"):
        parse({"kind": "user_user", "similarity": "rp3beta"})


def oracle(
    rows: list[Row], settings: UserUser
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], tuple[float, int, bool]]]:
    """Similarities of users, and score, neighbors and touched of users and items."""
    past: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        past[row.user][row.item] = past[row.user].get(row.item, 0.0) + SIGNAL.weights[row.kind]
    n: dict[str, int] = defaultdict(int)
    for items in past.values():
        for item in items:
            n[item] += 1
    b, c = settings.item_power, settings.user_power
    alike: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for u, v in permutations(past, 2):
        both = past[u].keys() & past[v].keys()
        if len(both) >= settings.min_support:
            alike[u].append((sum(n[item] ** -b for item in both) / (len(past[u]) * len(past[v])) ** c, v))
    near = {(u, v): score for u, mine in alike.items() for score, v in sorted(mine, reverse=True)[: settings.keep]}
    sums: dict[tuple[str, str], tuple[float, int, bool]] = {}
    for (u, v), score in near.items():
        for item, weight in past[v].items():
            total, count, _ = sums.get((u, item), (0.0, 0, False))
            sums[u, item] = (total + score * weight / max(past[v].values()), count + 1, item in past[u])
    return near, sums


@pytest.mark.spark
def test_from_events_to_lists(spark: SparkSession) -> None:
    """Robots and the future count for nothing. All neighbors are kept, so that no tie decides."""
    rows = made_up(24, 16, per_user=6)
    settings = UserUser(keep=99, min_support=2)
    more = [*rows, *FUTURE, Row("robot", "i000", bot=True), Row("robot", "i001", bot=True)]
    log = log_of(spark, more)
    assert log.item_index is not None
    model = settings.fit(log, signal=SIGNAL)
    near, sums = oracle(rows, settings)
    neighbors = model.frames["alike"].collect()
    assert {(row["user_id"], row["neighbor_id"]): row["score"] for row in neighbors} == pytest.approx(near, rel=1e-5)
    # From here on of what was collected, or else the neighbors would be found anew.
    known = spark.createDataFrame(neighbors, model.frames["alike"].schema)
    past, items = histories(interactions(log.events, as_of=AS_OF, signal=SIGNAL), log.item_index), log.item_index
    made_of = choices(known, past, items, max_history=99, keep=99).collect()
    found = {(row["user_id"], row["item_id"]): row for row in made_of}
    assert {pair: row["score"] for pair, row in found.items()} == pytest.approx(
        {pair: score for pair, (score, *_) in sums.items()}, rel=1e-5
    )
    assert {pair: (row["users"], row["touched"]) for pair, row in found.items()} == {
        pair: (count, touched) for pair, (_, count, touched) in sums.items()
    }
    users = {user for user, _ in sums}
    for user in users:
        mine = sorted((row for row in found.values() if row["user_id"] == user), key=lambda row: row["rank"])
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert mine == sorted(mine, key=lambda row: (-row["score"], row["item_id"]))
