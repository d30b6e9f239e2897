"""Metrics by hand, against the oracle and by their properties; weights and intervals of the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.bootstrap import intervals, pack, poisson_weights, resampled_sums, unpack
from recsys.evaluation.metrics import Measure, list_metrics, measures
from tests.evaluation import oracle

pytestmark = pytest.mark.fast


def computed(
    ranks: dict[int, str], relevant: set[str], facts: dict[str, tuple[float, str | None]], ks: list[int]
) -> dict[str, float]:
    depth = max(ks)
    codes = {name: number for number, name in enumerate(sorted({c for _, c in facts.values() if c}))}
    present = np.array([[rank in ranks for rank in range(1, depth + 1)]])
    hit = np.array([[ranks.get(rank) in relevant for rank in range(1, depth + 1)]])
    bits = np.array([[facts[ranks[rank]][0] if rank in ranks else 0.0 for rank in range(1, depth + 1)]])
    kinds = np.array(
        [[codes.get(facts[ranks[rank]][1] or "", -1) if rank in ranks else -1 for rank in range(1, depth + 1)]]
    )
    row = list_metrics(present, hit, bits, kinds, np.array([len(relevant)]), ks)[0]
    return {f"{m.metric}@{m.k}": float(value) for m, value in zip(measures(ks), row, strict=True)}


FACTS = {"a": (1.0, "x"), "b": (2.0, "x"), "c": (4.0, "y"), "d": (8.0, None), "e": (3.0, "z")}


def test_fractions_by_hand() -> None:
    figures = computed({1: "c", 2: "a", 3: "d", 4: "b"}, {"a", "b", "e"}, FACTS, [2, 4])
    assert figures["recall@2"] == pytest.approx(1 / 3)
    assert figures["precision@2"] == pytest.approx(1 / 2)
    assert figures["ndcg@2"] == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert figures["map@2"] == pytest.approx((1 / 2) / 2)
    assert figures["mrr@2"] == pytest.approx(1 / 2)
    assert figures["hit_rate@2"] == 1
    assert figures["novelty@2"] == pytest.approx((4 + 1) / 2)
    assert figures["diversity@2"] == 1
    assert figures["recall@4"] == pytest.approx(2 / 3)
    assert figures["precision@4"] == pytest.approx(2 / 4)
    assert figures["map@4"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    # Of the pairs (c, a), (c, b), (a, b) two differ; d has no category.
    assert figures["diversity@4"] == pytest.approx(2 / 3)
    assert figures["no_list@0"] == 0


def test_a_user_without_a_list_counts_zero() -> None:
    figures = computed({}, {"a"}, FACTS, [5])
    assert {
        name: figures[f"{name}@5"] for name in ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
    } == dict.fromkeys(("recall", "precision", "ndcg", "map", "mrr", "hit_rate"), 0.0)
    assert math.isnan(figures["novelty@5"]) and math.isnan(figures["diversity@5"])
    assert figures["no_list@0"] == 1


lists = st.dictionaries(st.integers(1, 8), st.sampled_from(sorted(FACTS)), max_size=5).filter(
    lambda ranks: len(set(ranks.values())) == len(ranks)
)


@settings(max_examples=300, deadline=None)
@given(
    ranks=lists,
    relevant=st.sets(st.sampled_from([*FACTS, "f"]), min_size=1),
    ks=st.sets(st.integers(1, 8), min_size=1, max_size=3),
)
def test_equal_to_the_oracle(ranks: dict[int, str], relevant: set[str], ks: set[int]) -> None:
    figures = computed(ranks, relevant, FACTS, sorted(ks))
    for k in ks:
        for name in ("recall", "precision", "hit_rate", "mrr", "ndcg"):
            assert figures[f"{name}@{k}"] == pytest.approx(getattr(oracle, name)(ranks, relevant, k))
        assert figures[f"map@{k}"] == pytest.approx(oracle.average_precision(ranks, relevant, k))
        for name, expected in (
            ("novelty", oracle.novelty(ranks, {item: bits for item, (bits, _) in FACTS.items()}, k)),
            ("diversity", oracle.diversity(ranks, {item: kind for item, (_, kind) in FACTS.items()}, k)),
        ):
            found = figures[f"{name}@{k}"]
            assert math.isnan(found) if expected is None else found == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(relevant=st.sets(st.sampled_from(sorted(FACTS)), min_size=1), tail=st.permutations(sorted(FACTS)))
def test_properties(relevant: set[str], tail: list[str]) -> None:
    best = [*sorted(relevant), *(item for item in tail if item not in relevant)]
    top = computed(dict(enumerate(best, start=1)), relevant, FACTS, [3, 5])
    other = computed(dict(enumerate(tail, start=1)), relevant, FACTS, [3, 5])
    assert top["ndcg@5"] == pytest.approx(1) and top["map@5"] == pytest.approx(1) and top["mrr@5"] == 1
    for name, value in other.items():
        if not name.startswith("novelty"):
            assert -1e-12 <= value <= 1 + 1e-12
            if name.split("@")[0] in ("recall", "precision", "ndcg", "map", "mrr", "hit_rate"):
                assert value <= top[name] + 1e-12
    # What holds of a whole list does not depend on its order.
    for name in ("recall@5", "precision@5", "hit_rate@5", "novelty@5", "diversity@5"):
        assert other[name] == pytest.approx(top[name])


def test_weights_are_poisson_and_belong_to_the_user() -> None:
    hashes = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 4000)
    weights = poisson_weights(hashes, 500, 7)
    assert (weights[0] == 1).all()
    drawn = weights[1:]
    assert drawn.mean() == pytest.approx(1, abs=0.005) and drawn.var() == pytest.approx(1, abs=0.01)
    assert (drawn == 0).mean() == pytest.approx(math.exp(-1), abs=0.003)
    # Neither users nor resamples move together.
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.15
    assert drawn.mean(axis=1).std() == pytest.approx(1 / math.sqrt(4000), rel=0.2)
    assert (poisson_weights(hashes[5:6], 500, 7)[:, 0] == weights[:, 5]).all()
    assert not (poisson_weights(hashes, 500, 8)[1:] == drawn).all()
    # Ids that follow one another are no worse than random ones.
    close = poisson_weights(np.arange(4000), 500, 7)[1:]
    assert close.mean() == pytest.approx(1, abs=0.005) and close.mean(axis=1).std() == pytest.approx(0.0158, rel=0.2)


CHOSEN = [Measure("ndcg", 10), Measure("novelty", 10)]


def run_kernels(
    values: np.ndarray, *, cuts: list[int], resamples: int = 400
) -> dict[tuple[str, str], dict[str, float]]:
    """Two stages of users through both kernels, in partitions cut at `cuts`."""
    users = len(values)
    packed = np.concatenate([pack(values[:, 0], CHOSEN), pack(values[:, 1], CHOSEN)], axis=1)
    table = pa.table(
        {
            "user_hash": pa.array(np.arange(users) * 7919, pa.int64()),
            "slices": [["all", "odd"] if user % 2 else ["all"] for user in range(users)],
            "values": packed.tolist(),
        }
    )
    sums = []
    for start, end in zip([0, *cuts], [*cuts, users], strict=True):
        for batch in resampled_sums(table.slice(start, end - start).to_batches(), resamples=resamples, seed=3):
            rows = [
                {"slice": name, "resample": row["resample"], "sums": row["sums"]}
                for row in batch.to_pylist()
                for name in row["slices"]
            ]
            sums.append(
                pa.RecordBatch.from_pylist(
                    rows, pa.schema([("slice", pa.string()), ("resample", pa.int32()), ("sums", pa.list_(pa.int64()))])
                )
            )
    out = intervals(sums, stages=["a", "b"], differences=[("a", "b")], chosen=CHOSEN, resamples=resamples)
    return {(row["stage"], f"{row['slice']}/{row['metric']}"): row for batch in out for row in batch.to_pylist()}


def test_intervals_are_those_of_means_and_of_paired_differences() -> None:
    rng = np.random.default_rng(5)
    common = rng.random(1500)
    values = np.full((1500, 2, 2), np.nan)
    values[:, 0, 0] = 0.5 * common + 0.02 * rng.random(1500)
    values[:, 1, 0] = 0.5 * common
    values[:300, 0, 1] = 3.0 + rng.random(300)
    rows = run_kernels(values, cuts=[700])
    for stage, column in (("a", values[:, 0, 0]), ("b", values[:, 1, 0]), ("a-b", values[:, 0, 0] - values[:, 1, 0])):
        row = rows[stage, "all/ndcg"]
        error = column.std(ddof=1) / math.sqrt(len(column))
        assert row["value"] == pytest.approx(column.mean(), abs=1e-9) and row["n"] == 1500
        assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
        assert row["ci_low"] == pytest.approx(column.mean() - 1.96 * error, abs=0.5 * error)
    # Paired: a hundred times narrower than intervals of the two sides would allow.
    assert rows["a-b", "all/ndcg"]["ci_low"] > 0
    # Over the users that it is defined for.
    assert rows["a", "all/novelty"]["value"] == pytest.approx(values[:300, 0, 1].mean(), abs=1e-9)
    assert [rows[stage, "all/novelty"]["n"] for stage in ("a", "b", "a-b")] == [300, 0, 0]
    assert rows["b", "all/novelty"]["value"] is None and rows["b", "all/novelty"]["ci_low"] is None
    assert rows["a", "odd/ndcg"]["value"] == pytest.approx(values[1::2, 0, 0].mean(), abs=1e-9)


def test_partitions_do_not_change_a_bit() -> None:
    values = np.random.default_rng(6).random((333, 2, 2))
    assert run_kernels(values, cuts=[]) == run_kernels(values, cuts=[1, 100, 250])


def test_one_user_has_a_figure_and_no_interval() -> None:
    row = run_kernels(np.full((1, 2, 2), 0.25), cuts=[])["a", "all/ndcg"]
    assert row["value"] == 0.25 and row["ci_low"] is None and row["ci_high"] is None


def test_unpacked_is_what_was_packed() -> None:
    figures = np.array([[0.5, np.nan], [0.25, 2.0]])
    assert unpack(pack(figures, CHOSEN).sum(axis=0), CHOSEN).tolist() == [0.375, 2.0]
