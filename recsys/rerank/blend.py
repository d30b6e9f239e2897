"""Choose how much of the retrieval order goes into the final score, on the validation split of the examples.

Only examples made from candidates have a retrieval order. Their negatives were sampled, so a rank within the sample is
not a rank within the list: each row stands for `1 / sample_rate` rows, and the rank of a row is estimated as one plus
the sum of that over the rows ahead of it. The figure of merit is NDCG@k on ranks estimated in this way.

Few lists have a positive in a short window, and the best of eleven noisy figures flatters itself. So the configured
weight stays unless another is better by more than one standard error of the paired difference over lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.arrow import Array, group_of_rows, group_starts, ranks_within, whole_groups
from recsys.rerank.diversity import part

GRID = tuple(step / 10 for step in range(11))
MIN_LISTS = 30
_UNIT = float(2**30)
"""Figures are summed as whole multiples of 2^-30, so that the order of summation cannot matter."""


@dataclass(frozen=True)
class Blend:
    """The weight of the retrieval order, and why.

    Attributes
    ----------
    retrieval_weight : float
        0 to 1.
    why : str
        One sentence for the log.
    """

    retrieval_weight: float
    why: str


def fit_blend(scored: DataFrame, *, k: int, configured: float) -> Blend:
    """Choose the weight on scored validation examples.

    Parameters
    ----------
    scored : DataFrame
        list_id, item_id, label, sample_rate, logit, candidate_rank (null where there is no retrieval order: such rows
        are passed over).
    k : int
        Cut-off of the NDCG.
    configured : float
        The weight that stays unless another is clearly better.
    """
    weights = sorted({configured, *GRID})

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in whole_groups(batches, "list_id"):
            figures = ndcg_by_weight(table, weights, k=k)
            gain = figures - figures[:, [weights.index(configured)]]
            for weight, total, squares in zip(weights, _units(gain), _units(gain**2), strict=True):
                yield pa.RecordBatch.from_pydict(
                    {"weight": [weight], "lists": [len(figures)], "total": [total], "squares": [squares]}
                )

    ready = (
        scored.where("candidate_rank IS NOT NULL")
        .select("list_id", "item_id", "label", "sample_rate", "logit", "candidate_rank")
        .repartition("list_id")
        .sortWithinPartitions("list_id", "item_id")
    )
    sums = ready.mapInArrow(kernel, "weight double, lists bigint, total bigint, squares bigint")
    rows = sums.groupBy("weight").agg(*(F.sum(name).alias(name) for name in ("lists", "total", "squares"))).collect()
    return choose(
        {row["weight"]: (row["lists"], row["total"] / _UNIT, row["squares"] / _UNIT) for row in rows}, configured
    )


def choose(sums: dict[float, tuple[int, float, float]], configured: float) -> Blend:
    """Choose among weights by lists, sum and sum of squares of the gain over the configured weight.

    >>> choose({0.5: (100, 0.0, 0.0), 0.3: (100, 10.0, 4.0)}, 0.5).retrieval_weight
    0.3
    """
    lists = max((count for count, _, _ in sums.values()), default=0)
    if lists < MIN_LISTS:
        return Blend(
            configured,
            f"retrieval_weight {configured:g} as configured: {lists} validation lists with a positive and a retrieval "
            f"order, {MIN_LISTS} needed to choose",
        )
    best, (_, total, squares) = min(
        sums.items(), key=lambda entry: (-entry[1][1], abs(entry[0] - configured), entry[0])
    )
    mean = total / lists
    error = (max(squares / lists - mean**2, 0.0) / (lists - 1)) ** 0.5
    found = f"best on {lists} validation lists is {best:g}, NDCG {mean:+.4f} ± {error:.4f} against {configured:g}"
    if best == configured or mean <= error:
        return Blend(configured, f"retrieval_weight {configured:g} as configured: {found}")
    return Blend(best, f"retrieval_weight {best:g}: {found}")


def ndcg_by_weight(table: pa.Table, weights: Sequence[float], *, k: int) -> Array:
    """NDCG@k of each list with a positive (rows) under each weight (columns); whole lists, sorted by list and item."""
    starts = group_starts(table.column("list_id"))
    group = group_of_rows(starts, table.num_rows)
    label = table.column("label").to_numpy()
    stands_for = 1.0 / table.column("sample_rate").to_numpy()
    ranker = part(_expected_ranks(group, starts, -table.column("logit").to_numpy(), stands_for))
    retrieval = part(table.column("candidate_rank").to_numpy().astype(np.float64))
    positives = np.bincount(group, weights=label, minlength=len(starts)).astype(np.int64)
    ideal = np.concatenate(([0.0], np.cumsum(1.0 / np.log2(1.0 + np.arange(1, k + 1)))))
    figures = np.zeros((int((positives > 0).sum()), len(weights)))
    for column, weight in enumerate(weights):
        ranks = _expected_ranks(group, starts, -((1.0 - weight) * ranker + weight * retrieval), stands_for)
        gain = np.where(ranks <= k, label / np.log2(1.0 + ranks), 0.0)
        dcg = np.bincount(group, weights=gain, minlength=len(starts))
        kept = positives > 0
        figures[:, column] = np.minimum(dcg[kept] / ideal[np.minimum(positives[kept], k)], 1.0)
    return figures


def _expected_ranks(group: Array, starts: Array, values: Array, stands_for: Array) -> Array:
    """One plus what stands ahead of each row in its group, smallest value first."""
    if len(values) == 0:
        return np.zeros(0)
    place = starts[group] + ranks_within(group, starts, values) - 1
    order = np.empty(len(values), dtype=np.int64)
    order[place] = np.arange(len(values))
    before = np.cumsum(stands_for[order]) - stands_for[order]
    ahead = np.empty(len(values))
    ahead[order] = before - before[starts[group[order]]]
    return np.round(ahead, 6) + 1.0


def _units(figures: Array) -> list[int]:
    return [int(total) for total in np.rint(figures * _UNIT).sum(axis=0)]
