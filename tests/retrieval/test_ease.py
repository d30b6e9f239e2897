"""EASE against a dense inverse in numpy, by hand, and from events to lists."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from recsys.errors import NothingToDo
from recsys.retrieval import registry
from recsys.retrieval.ease import solving
from recsys.retrieval.ease.learning import Size
from recsys.retrieval.ease.retriever import Ease
from recsys.retrieval.ease.solving import Solver, inverted, largest, most_touched
from recsys.retrieval.kernels import Batch, Excluded
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel, NeighborLists
from tests.retrieval.shop import FUTURE, SIGNAL, Row, log_of, made_up

WIDE = 10_000
Touches = list[tuple[int, int, int, int]]
"""Hash of the user, number of the item, time, weight."""
Weights = dict[tuple[int, int], float]


def learned(touches: Touches, solver: Solver, *, rows: int = 7) -> list[tuple[int, int, int, float]]:
    """Run the task on batches: source, rank, target, weight."""
    names = ("u", "idx", "at", "units")
    parts = [touches[start : start + rows] for start in range(0, len(touches), rows)]
    batches = [pa.record_batch({name: [row[i] for row in part] for i, name in enumerate(names)}) for part in parts]
    return [tuple(row.values()) for batch in solver.lists(batches) for row in batch.to_pylist()]


def weights(touches: Touches, solver: Solver) -> Weights:
    return {(source, target): weight for source, _, target, weight in learned(touches, solver)}


def touched(seed: int = 3, users: int = 60, items: int = 24) -> Touches:
    random = np.random.default_rng(seed)
    shares = 1 / (np.arange(items) + 3.0)
    return [
        (int(u), 5 + 2 * int(i), int(random.integers(0, 9)), 1)
        for u in random.permutation(users) * 7919 - 300
        for i in random.choice(items, random.integers(1, 14), replace=False, p=shares / shares.sum())
    ]


def oracle(touches: Touches, reg: float) -> Weights:
    """B = I - P diag(P)^-1, dense."""
    users, items = sorted({row[0] for row in touches}), sorted({row[1] for row in touches})
    x = np.zeros((len(users), len(items)))
    for user, item, _, weight in touches:
        x[users.index(user), items.index(item)] = weight / max(row[3] for row in touches if row[0] == user)
    inverse = np.linalg.inv(x.T @ x + reg * np.eye(len(items)))
    b = np.eye(len(items)) - inverse / np.diag(inverse)
    return {(items[i], items[j]): b[i, j] for i, j in permutations(range(len(items)), 2)}


@pytest.mark.fast
def test_two_items_by_hand() -> None:
    """Two users touched both items, one only the first: a predicts b with 2 / (3 + 1), and b predicts a with 2 / 3."""
    found = weights([(1, 4, 0, 1), (1, 9, 0, 1), (2, 4, 0, 1), (2, 9, 0, 1), (3, 4, 0, 1)], Solver(WIDE, WIDE, 1.0, 9))
    assert found == pytest.approx({(4, 9): 1 / 2, (9, 4): 2 / 3})


@pytest.mark.fast
@pytest.mark.parametrize("block", [1 << 22, 24 * 5])
def test_against_a_dense_inverse(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(solving, "_BLOCK", block)
    log = touched()
    expected = oracle(log, 8.0)
    found = weights(log, Solver(WIDE, WIDE, 8.0, WIDE))
    assert {pair: found.get(pair, 0.0) for pair in expected} == pytest.approx(expected, abs=1e-9)
    assert min(found.values()) < -0.01, "items that speak against others"


@pytest.mark.fast
def test_weights_as_shares_of_the_users_largest() -> None:
    log = [(1, 4, 0, 8), (1, 9, 0, 2), (2, 4, 0, 6), (2, 9, 0, 3), (3, 9, 0, 7), (3, 6, 0, 7)]
    expected = oracle(log, 1.0)
    found = weights(log, Solver(WIDE, WIDE, 1.0, 9))
    assert {pair: found.get(pair, 0.0) for pair in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.fast
def test_the_largest_by_absolute_value_are_kept_and_ranked() -> None:
    log = touched()
    everything = oracle(log, 2.0)
    found = learned(log, Solver(WIDE, WIDE, 2.0, 4))
    for item in {source for source, _ in everything}:
        mine = sorted((row for row in found if row[0] == item), key=lambda row: row[1])
        assert [rank for _, rank, _, _ in mine] == [1, 2, 3, 4]
        strongest = sorted((abs(value) for (source, _), value in everything.items() if source == item), reverse=True)
        assert [abs(weight) for *_, weight in mine] == pytest.approx(strongest[:4], abs=1e-9)
        assert all(weight == pytest.approx(everything[item, target], abs=1e-9) for _, _, target, weight in mine)


@pytest.mark.fast
def test_neither_the_order_nor_batches_change_a_bit() -> None:
    log, solver = touched(), Solver(WIDE, 6, 5.0, 7)
    first = learned(log, solver)
    assert first and learned(log[::-1], solver, rows=50) == first


@pytest.mark.fast
def test_the_most_touched_items_make_the_model() -> None:
    idx = np.array([7, 7, 7, 3, 3, 9, 9, 4])
    assert most_touched(idx, 1).tolist() == [7] and most_touched(idx, 3).tolist() == [3, 7, 9]
    log = touched()
    counts = np.bincount([item for _, item, _, _ in log])
    wanted = set(np.argsort(-counts, kind="stable")[:6].tolist())
    assert len(set(counts[list(wanted)])) > 1 and sorted(counts)[-7] < sorted(counts)[-6], "no tie at the end"
    part = [row for row in log if row[1] in wanted]
    assert learned(log, Solver(6, WIDE, 3.0, 9)) == learned(part, Solver(WIDE, WIDE, 3.0, 9))


@pytest.mark.fast
def test_the_latest_items_of_a_user_count() -> None:
    whole = [(1, 4, 9, 1), (1, 6, 8, 1), (1, 9, 1, 1), (2, 9, 1, 1), (2, 4, 0, 1), (2, 6, 2, 1)]
    latest = [row for row in whole if (row[0], row[1]) not in {(1, 9), (2, 4)}]
    assert learned(whole, Solver(WIDE, 2, 1.0, 9)) == learned(latest, Solver(WIDE, WIDE, 1.0, 9))


@pytest.mark.fast
def test_equal_items_and_a_small_reg() -> None:
    """Two items that are one column: without regularization there is no inverse."""
    twins = np.array([[5.0, 5.0], [5.0, 5.0]])
    assert list(largest(inverted(twins.copy(), 1e-3), 9))[0][3] == pytest.approx([5 / 5.001] * 2)
    with pytest.raises(ValueError, match="set a larger one"):
        inverted(twins.copy(), 1e-30)


@pytest.mark.fast
def test_no_interaction_no_weight() -> None:
    assert list(Solver(9, 9, 1.0, 9).lists([])) == []
    assert learned([(1, 4, 0, 1)], Solver(9, 9, 1.0, 9)) == []


@pytest.mark.fast
def test_reg_by_the_size_of_the_data() -> None:
    """Three items of 1, 2 and 3 users: six interactions, whose items have (1 + 4 + 9) / 6 users in the mean."""
    assert Size(3, 6, 14).reg == 18.7
    assert Size(3, 3, 3).reg == 10.0 and Size(1, 999, 999**2).reg == 1000.0 and Size(0, 0, 0).reg == 10.0
    assert "ease" in registry.kinds() and "ease" not in [one.kind for one in registry.defaults()]


@pytest.mark.fast
def test_what_speaks_against_an_item_is_subtracted() -> None:
    """Items 0 and 1 of the past: 2 comes to .5 - .2, 3 to .1 - .4, which is not proposed."""
    lists = NeighborLists(np.array([0, 2, 4, 4, 4]), np.array([2, 3, 2, 3], np.int32), np.array([0.5, -0.4, -0.2, 0.1]))
    kernel = ItemItemKernel(lists, 9)
    rows = pa.RecordBatch.from_pydict({"segment": [None]})
    batch = Batch(rows, np.zeros(2, np.int64), np.array([0, 1]), np.ones(2))
    none = np.zeros(0, np.int64)
    made = kernel.propose(batch, k=9, excluded=Excluded(none, none, 1, 4))
    assert (made.item.tolist(), made.score.tolist()) == ([2], [0.5 - 0.2])
    assert made.because is not None and made.because.tolist() == [0]
    pairs = kernel.score(batch, np.zeros(2, np.int64), np.array([3, 2]))
    assert pairs["score"].tolist() == [-0.4 + 0.1, 0.5 - 0.2] and pairs["best"].tolist() == [0.1, 0.5]


@pytest.mark.spark
def test_from_events_to_scores(spark: SparkSession) -> None:
    """Robots and the future don't count; an item of the past adds its share of the user's weight."""
    rows = made_up(30, 20)
    more = [*rows, *FUTURE, Row("robot", "i000", bot=True), Row("robot", "i001", bot=True)]
    model = Ease(reg=5.0).fit(log_of(spark, more), signal=SIGNAL)
    items = sorted({row.item for row in rows})
    expected = oracle([(int(row.user[1:]), items.index(row.item), 0, 1) for row in rows], 5.0)
    frame = model.frames["weights"].collect()
    assert {(row["item_id"], row["target_id"]): row["weight"] for row in frame} == pytest.approx(
        {(items[i], items[j]): weight for (i, j), weight in expected.items() if abs(weight) > 1e-10}, abs=1e-9
    )
    assert model.metrics == {"reg": 5.0, "items": float(len(items)), "interactions": float(len(rows))}
    # From here on of what was collected, or else the model would be learned anew.
    columns = "item_id string, rank int, target_id string, weight double"
    known = replace(model, frames={"weights": spark.createDataFrame(frame, columns)})
    touches = {row.item: SIGNAL.weights[row.kind] for row in rows if row.user == "u003"}
    past = {item: weight / max(touches.values()) for item, weight in touches.items()}
    made = known.lists(spark.createDataFrame([("u003",)], "user_id string"), k=99).collect()
    totals: dict[str, dict[str, float]] = {target: {} for target in items}
    for (i, j), weight in expected.items():
        if items[i] in past:
            totals[items[j]][items[i]] = past[items[i]] * weight
    assert {row["item_id"]: row["score"] for row in made} == pytest.approx(
        {target: sum(parts.values()) for target, parts in totals.items() if sum(parts.values()) > 0}, abs=1e-8
    )
    for row in made:
        parts = totals[row["item_id"]]
        assert parts[row["because_item_id"]] == pytest.approx(max(parts.values()), abs=1e-9)


@pytest.mark.spark
def test_a_single_item_is_too_little(spark: SparkSession) -> None:
    with pytest.raises(NothingToDo, match="found 1 items with an interaction"):
        Ease().fit(log_of(spark, [Row("u", "a"), Row("v", "a")]), signal=SIGNAL)
