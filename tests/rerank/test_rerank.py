"""Lists against a brute-force version, and properties of the greedy kernel."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.arrow import whole_groups
from recsys.rerank.diversity import Rules, make_lists

pytestmark = pytest.mark.fast

Row = dict[str, Any]


def table_of(rows: list[Row]) -> pa.Table:
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("candidate_rank", pa.float64()),
            ("logit", pa.float64()),
            ("item_category", pa.string()),
            ("sources", pa.list_(pa.string())),
        ]
    )
    ordered = sorted(rows, key=lambda row: (row["user_id"], row["item_id"]))
    return pa.Table.from_pylist([{"sources": ["als"], **row} for row in ordered], schema)


def by_hand(rows: list[Row], rules: Rules) -> dict[str, list[tuple[str, float]]]:
    """One user, one step, one item at a time: the definition, written out with plain lists."""
    lists = {}
    for user in sorted({row["user_id"] for row in rows}):
        mine = sorted((row for row in rows if row["user_id"] == user), key=lambda row: row["item_id"])
        by_model = sorted(mine, key=lambda row: (-row["logit"], row["item_id"]))
        by_retrieval = sorted(mine, key=lambda row: (row["candidate_rank"], row["item_id"]))
        base = {
            row["item_id"]: (1 - rules.retrieval_weight) * (11 / (10 + by_model.index(row) + 1))
            + rules.retrieval_weight * (11 / (10 + by_retrieval.index(row) + 1))
            for row in mine
        }
        chosen: list[Row] = []
        scores: list[float] = []
        while len(chosen) < rules.k:
            options = []
            for row in mine:
                repeats = sum(
                    1 for other in chosen if row["item_category"] and other["item_category"] == row["item_category"]
                )
                if row in chosen or (rules.max_per_category is not None and repeats >= rules.max_per_category):
                    continue
                options.append((base[row["item_id"]] - rules.diversity * (1 - 0.5**repeats), row))
            if not options:
                break
            top = max(score for score, _ in options)
            score, row = next(option for option in options if option[0] == top)
            chosen.append(row)
            scores.append(score)
        lists[user] = [(row["item_id"], score) for row, score in zip(chosen, scores, strict=True)]
    return lists


def read(table: pa.Table, k: int) -> dict[str, list[tuple[str, float]]]:
    lists: dict[str, list[tuple[str, float]]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: (row["user_id"], row["rank"])):
        if row["rank"] <= k:
            lists.setdefault(row["user_id"], []).append((row["item_id"], row["score"]))
            assert row["rank"] == len(lists[row["user_id"]])
    return lists


@st.composite
def candidates(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for user in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 9))
        order = draw(st.permutations(range(1, size + 1)))
        for item in range(size):
            rows.append(
                {
                    "user_id": f"u{user}",
                    "item_id": f"i{item}",
                    "candidate_rank": float(order[item]),
                    "logit": float(draw(st.integers(-2, 2))),
                    "item_category": draw(st.sampled_from(["a", "b", None])),
                }
            )
    return rows


@settings(max_examples=200, deadline=None)
@given(
    rows=candidates(),
    k=st.integers(1, 6),
    weight=st.sampled_from([0.0, 0.3, 1.0]),
    diversity=st.sampled_from([0.0, 0.2, 1.0]),
    cap=st.sampled_from([None, 1, 2]),
    reserve=st.integers(0, 5),
)
def test_lists_equal_the_definition(
    rows: list[Row], k: int, weight: float, diversity: float, cap: int | None, reserve: int
) -> None:
    rules = Rules(k=k, retrieval_weight=weight, diversity=diversity, max_per_category=cap, reserve=reserve)
    made = make_lists(table_of(rows), rules)
    found, expected = read(made, k), by_hand(rows, rules)
    assert {user: [item for item, _ in items] for user, items in found.items()} == {
        user: [item for item, _ in items] for user, items in expected.items() if items
    }
    for user, items in found.items():
        assert [score for _, score in items] == pytest.approx([score for _, score in expected[user]])
        assert all(a >= b for (_, a), (_, b) in zip(items, items[1:], strict=False))
    for row in made.to_pylist():
        whole = (1 - weight) * row["ranker"] + weight * row["retrieval"] + row["diversity"]
        assert row["score"] == pytest.approx(whole)
        assert row["diversity"] <= 0
        assert row["reserve"] == (row["rank"] > k)
    # With its reserve, a user's rows hold the whole head of the ranker's own order.
    heads = {(row["user_id"], int(row["ranker_rank"])) for row in made.to_pylist()}
    for user in found:
        size = sum(1 for row in rows if row["user_id"] == user)
        assert {(user, rank) for rank in range(1, min(reserve, size) + 1)} <= heads
    assert len({(row["user_id"], row["rank"]) for row in made.to_pylist()}) == made.num_rows


def test_diversity_puts_another_category_between() -> None:
    rows = [
        {"user_id": "u", "item_id": item, "candidate_rank": rank, "logit": -rank, "item_category": category}
        for rank, (item, category) in enumerate([("a", "x"), ("b", "x"), ("c", "y")], start=1)
    ]
    plain = make_lists(table_of(rows), Rules(3, 0.5, diversity=0.0, max_per_category=None, reserve=0))
    varied = make_lists(table_of(rows), Rules(3, 0.5, diversity=0.4, max_per_category=None, reserve=0))
    assert plain.column("item_id").to_pylist() == ["a", "b", "c"]
    assert varied.column("item_id").to_pylist() == ["a", "c", "b"]
    # base of b is 11/12; it repeats x once: half of 0.4 is lost.
    assert varied.column("score").to_pylist() == pytest.approx([1, 11 / 13, 11 / 12 - 0.2])


def test_groups_are_whole_whatever_the_batches() -> None:
    users = [f"u{n:02d}" for n in range(12) for _ in range(1 + n % 5)]
    table = pa.table({"user_id": users, "x": list(range(len(users)))})
    for size in (1, 2, 3, 7, 100):
        for rows in (1, 4, 1000):
            parts = list(whole_groups(table.to_batches(max_chunksize=size), "user_id", rows=rows))
            assert pa.concat_tables(parts).combine_chunks().equals(table.combine_chunks())
            seen: set[str] = set()
            for part in parts:
                here = set(part.column("user_id").to_pylist())
                assert not here & seen
                seen |= here


def test_empty_batches_make_no_table() -> None:
    empty = table_of([])
    assert list(whole_groups(empty.to_batches(), "user_id")) == []
    assert make_lists(empty, Rules(5, 0.5, diversity=0.0, max_per_category=None, reserve=0)).num_rows == 0
