"""What follows what, counted without Spark, against a double loop in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConfigError
from recsys.retrieval.kernels import Batch
from recsys.retrieval.neighborhoods.histories import Counted
from recsys.retrieval.neighborhoods.kernel import recent
from recsys.retrieval.ordered import pairs
from recsys.retrieval.ordered.retriever import Ordered
from recsys.retrieval.sequences import Sequences

pytestmark = pytest.mark.fast

DAY = 86_400_000_000
AS_OF = 100 * DAY
Touch = tuple[int, int, int, int]
"""Owner, item, microseconds, step."""
Found = dict[tuple[int, int], tuple[float, int]]
"""Score and support of source and target."""
PLAIN: dict[str, Any] = {"user_power": 0, "source_power": 0, "target_power": 0, "min_support": 1}


def rows_of(log: list[Touch], retriever: Ordered, *, n_blocks: int = 3, batch: int = 7) -> list[dict[str, Any]]:
    """Run both kernels as Spark does: owners together, then blocks together."""
    steps = replace(retriever.steps(AS_OF), n_items=40, blocks=n_blocks)
    made = list(steps.pieces([_batch(log[start : start + batch]) for start in range(0, len(log), batch)]))
    n = users_of(log)
    counts = pa.record_batch({"idx": list(n), "n": list(n.values()), "item_id": [f"i{item:02d}" for item in n]})
    pieces = [pa.Table.from_batches(made or [_nothing()]), pa.Table.from_batches(Counted(n_blocks).pieces([counts]))]
    together = pa.concat_tables(pieces, promote_options="default").sort_by("block").to_batches()
    return [row for found in retriever.successors.lists(together) for row in found.to_pylist()]


def scores_of(log: list[Touch], retriever: Ordered) -> Found:
    return {
        (int(row["item_id"][1:]), int(row["neighbor_id"][1:])): (row["score"], row["support"])
        for row in rows_of(log, retriever)
    }


def users_of(log: list[Touch]) -> Counter[int]:
    return Counter(item for _, item in {(owner, item) for owner, item, _, _ in log})


def _batch(rows: list[Touch]) -> pa.RecordBatch:
    types = {"u": pa.int64(), "idx": pa.int32(), "at": pa.int64(), "step": pa.int32()}
    return pa.record_batch([pa.array([r[i] for r in rows], t) for i, t in enumerate(types.values())], names=list(types))


def _nothing() -> pa.RecordBatch:
    kinds = [pa.int32(), *[pa.binary()] * 4]
    names = ["block", "sources", "targets", "totals", "supports"]
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in kinds], names=names)


def line(*items: int, owner: int = 1, apart: int = 1) -> list[Touch]:
    """One owner who touches items, days apart, the last one at `AS_OF`."""
    return [(owner, item, AS_OF - (len(items) - 1 - i) * apart * DAY, 0) for i, item in enumerate(items)]


def a_log(seed: int = 1, owners: int = 25, items: int = 12) -> list[Touch]:
    """Repeats, and no two touches of an owner at one time."""
    random = np.random.default_rng(seed)
    log = []
    for owner in range(owners):
        at = random.choice(90 * 24, random.integers(1, 25), replace=False)
        log += [(owner * 7919, int(random.integers(1, items)), int(hour) * DAY // 24, 0) for hour in at]
    return log


def oracle(log: list[Touch], r: Ordered) -> Found:
    total: dict[tuple[int, int], float] = defaultdict(float)
    owners: dict[tuple[int, int], set[int]] = defaultdict(set)
    n = users_of(log)
    for owner in {row[0] for row in log}:
        mine = sorted((at, item) for who, item, at, _ in log if who == owner)
        runs = [(item, [at for at, _ in run]) for item, run in groupby(mine, key=lambda touch: touch[1])]
        share = len(runs) ** -r.user_power
        runs = runs[-r.max_history :]
        for p, (i, first) in enumerate(runs):
            for q, (j, then) in enumerate(runs):
                distance, late = abs(p - q), max(first[0], then[0])
                gap = min(abs(a - b) for a in first for b in then)
                if i == j or distance > r.window or (r.within_days is not None and gap > r.within_days * DAY):
                    continue
                age = (AS_OF - late) / DAY
                fresh = 1.0 if r.half_life_days is None else 0.5 ** (age / r.half_life_days)
                value = share * r.distance_decay ** (distance - 1) * fresh * (1.0 if p < q else r.backward)
                if value:
                    total[i, j] += value
                    owners[i, j].add(owner)
    found = {}
    for (i, j), value in total.items():
        support = len(owners[i, j])
        score = value / (n[i] ** r.source_power * n[j] ** r.target_power) * support / (support + r.shrinkage)
        if support >= r.min_support:
            found[i, j] = (score, support)
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window": 1, "backward": 0.0, "min_support": 1},
        {"window": 3, "within_days": 4.0, "half_life_days": 20.0, "max_history": 6, "shrinkage": 1.5},
        {"window": 50, "distance_decay": 1.0, "backward": 1.0, "user_power": 0.0, "source_power": 1.0},
    ],
)
def test_against_a_double_loop(settings: dict[str, Any]) -> None:
    log, retriever = a_log(), Ordered(**settings)
    found, expected = scores_of(log, retriever), oracle(log, retriever)
    assert len(expected) > 20 and found.keys() == expected.keys()
    for pair, (score, support) in expected.items():
        assert found[pair] == (pytest.approx(score, rel=1e-5), support)


def test_distance_and_direction() -> None:
    found = scores_of(line(1, 2, 3, 4), Ordered(window=2, distance_decay=0.5, backward=0.25, **PLAIN))
    near = {(1, 2): 1.0, (2, 3): 1.0, (3, 4): 1.0, (2, 1): 0.25, (3, 2): 0.25, (4, 3): 0.25}
    far = {(1, 3): 0.5, (2, 4): 0.5, (3, 1): 0.125, (4, 2): 0.125}
    assert {pair: score for pair, (score, _) in found.items()} == pytest.approx(near | far)


def test_a_chain_of_next_items() -> None:
    """Of the three users of item 1, two went on to 2 and one to 3: P = 2/3, 1/3."""
    log = [*line(1, 2, owner=1), *line(1, 2, 3, owner=2), *line(1, 3, owner=3)]
    chain = Ordered(window=1, backward=0, user_power=0, source_power=1, target_power=0, min_support=1)
    expected = {(1, 2): (pytest.approx(2 / 3), 2), (1, 3): (pytest.approx(1 / 3), 1), (2, 3): (pytest.approx(0.5), 1)}
    assert scores_of(log, chain) == expected


def test_touches_in_a_row_are_one() -> None:
    found = scores_of(line(1, 1, 1, 2, 2), Ordered(**PLAIN))
    assert found == scores_of(line(1, 2), Ordered(**PLAIN)) == {(1, 2): (1.0, 1), (2, 1): (pytest.approx(0.3), 1)}


def test_who_comes_back_counts_again() -> None:
    """1 2 1 2: three steps, of which two go from 1 to 2; one user."""
    found = scores_of(line(1, 2, 1, 2), Ordered(window=1, backward=0, **PLAIN))
    assert found == {(1, 2): (2.0, 1), (2, 1): (1.0, 1)}


def test_time_between_the_runs() -> None:
    """Two days pass from the end of one run to the beginning of the next, four from its beginning."""
    log = [(1, 1, AS_OF - 5 * DAY, 0), (1, 1, AS_OF - 3 * DAY, 0), (1, 2, AS_OF - DAY, 0), (1, 2, AS_OF, 0)]
    assert (1, 2) in scores_of(log, Ordered(within_days=2, **PLAIN))
    assert not scores_of(log, Ordered(within_days=1.9, **PLAIN))


def test_the_age_is_that_of_the_later_touch() -> None:
    found = scores_of(line(1, 2, 3, apart=10), Ordered(window=1, half_life_days=10, backward=0, **PLAIN))
    assert {pair: score for pair, (score, _) in found.items()} == {(1, 2): 0.5, (2, 3): 1.0}


def test_the_latest_touches_count_and_the_whole_history_is_discounted() -> None:
    found = scores_of(line(1, 2, 3, 4), Ordered(max_history=2, backward=0, **{**PLAIN, "user_power": 1.0}))
    assert found == {(3, 4): (0.25, 1)}


def test_the_step_decides_at_one_time_and_else_a_hash() -> None:
    stepped = [(owner, item, AS_OF, 3 - item) for owner in range(50) for item in (1, 2)]
    chain = Ordered(window=1, backward=0, **PLAIN)
    assert scores_of(stepped, chain).keys() == {(2, 1)}
    loose = scores_of([(owner * 7919, item, AS_OF, 0) for owner in range(400) for item in (1, 2)], chain)
    # 400 fair coins: 200 heads, give or take 10.
    assert loose[1, 2][1] + loose[2, 1][1] == 400 and 150 < loose[1, 2][1] < 250


@pytest.mark.parametrize("half_life", [None, 30.0])
def test_blocks_order_and_pieces_change_no_bit(monkeypatch: pytest.MonkeyPatch, half_life: float | None) -> None:
    log, retriever = a_log(), Ordered(keep=5, half_life_days=half_life, min_support=1)
    key = lambda row: (row["item_id"], row["rank"])  # noqa: E731
    first = sorted(rows_of(log, retriever), key=key)
    monkeypatch.setattr(pairs, "_MADE", 200)
    monkeypatch.setattr(pairs, "_PIECE", 3)
    assert sorted(rows_of(log[::-1], retriever, n_blocks=5, batch=11), key=key) == first


def test_ranks_and_the_keep_best() -> None:
    log, retriever = a_log(), Ordered(keep=3)
    lists: dict[int, list[float]] = defaultdict(list)
    for row in rows_of(log, retriever):
        lists[int(row["item_id"][1:])].append(row["score"])
        assert row["rank"] == len(lists[int(row["item_id"][1:])])
    expected = oracle(log, retriever)
    for item, mine in lists.items():
        assert mine == pytest.approx(sorted((s for (i, _), (s, _) in expected.items() if i == item), reverse=True)[:3])


def test_an_item_without_a_count_has_no_name_and_is_left_out() -> None:
    index = pa.Table.from_batches(
        Counted(1).pieces([pa.record_batch({"idx": [1, 3], "n": [1, 1], "item_id": ["a", "c"]})])
    )
    retriever = Ordered(window=2, **PLAIN)
    made = replace(retriever.steps(AS_OF), n_items=9).pieces([_batch(line(1, 2, 3, 9))])
    both = pa.concat_tables([pa.Table.from_batches(made), index], promote_options="default").to_batches()
    found = [row for batch in retriever.successors.lists(both) for row in batch.to_pylist()]
    assert {(row["item_id"], row["neighbor_id"]) for row in found} == {("a", "c"), ("c", "a")}


def test_nothing_follows_a_single_touch() -> None:
    assert rows_of(line(1), Ordered(**PLAIN)) == []
    assert list(Ordered().steps(AS_OF).pieces([_batch([])])) == []


def test_sequences_of_two_owners() -> None:
    u, item, at = (np.array(values) for values in ([5, 3, 5, 3, 5], [1, 2, 1, 4, 3], [10, 5, 20, 1, 30]))
    found = Sequences.of(u, item, at, np.zeros(5, np.int64), 200)
    assert found.owner.tolist() == [0, 0, 1, 1] and found.item.tolist() == [4, 2, 1, 3]
    assert found.start.tolist() == [1, 5, 10, 30] and found.end.tolist() == [1, 5, 20, 30]
    assert found.u.tolist() == [3, 5] and found.sizes.tolist() == [2, 2]


def test_the_latest_item_counts_most() -> None:
    """The third of the first user is only seen, and the second one unknown: neither moves nor counts as a place."""
    rows = pa.record_batch({"user_id": ["u", "v", "w"]})
    user, item = np.array([0, 0, 0, 0, 2, 2]), np.array([7, -1, 5, 6, 1, 2])
    batch = Batch(rows, user, item, np.array([3.0, 1.0, 0.0, 2.0, 1.0, 9.0]))
    who, what, share = recent(batch, 3, 0.5)
    assert list(zip(who.tolist(), what.tolist(), share.tolist(), strict=True)) == [
        (0, 7, 1.0),
        (0, 6, 0.25),
        (2, 1, 1.0),
        (2, 2, 0.5),
    ]


@pytest.mark.parametrize("entry", [{"window": 0}, {"distance_decay": 1.5}, {"history_decay": 0}, {"within": "day"}])
def test_settings_that_mean_nothing_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Ordered(**entry)
