"""From scored candidates to lists: blend with the retrieval order, spread over categories, apply rules.

**Blend.** A ranker trained on shown lists has never seen an unshown item, and its probabilities are not on the
retrievers' scale. Both orders are therefore turned into the same within-user scale, the reciprocal rank
`part(r) = (c + 1) / (c + r)`, which is 1 for the first and falls towards 0, and
`base = (1 - w) * ranker + w * retrieval`.

**Diversify.** Greedy, as maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998) with a geometric discount of
repeated categories: an item whose category stands n times in the list already loses `diversity * (1 - 0.5^n)`. So the
loss is bounded by `diversity`, whatever the length of the list. An item without a category neither pays nor counts.

**Rules.** Blocked items and categories are taken out first; `max_per_category` is a hard limit.

Per user everything is decided by ranks and by the order of item ids, so that a re-run gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.arrow import Array, group_of_rows, group_starts, ranks_within, whole_groups

RANK_CONSTANT = 10.0
"""c of `part(r) = (c + 1) / (c + r)`: how slowly the scale falls. The same as in the union of the candidates."""

PARTS = ("ranker", "retrieval", "diversity", "ranker_rank", "retrieval_rank", "reserve")
"""Numbers that each row of a list keeps of how it came to its place."""

_ADDED = (
    T.StructField("rank", T.IntegerType(), nullable=False),
    T.StructField("score", T.DoubleType(), nullable=False),
    *(T.StructField(name, T.DoubleType(), nullable=False) for name in PARTS),
)


@dataclass(frozen=True)
class Rules:
    """How lists are made: what `RankSettings` says, the weight that was fitted, and the reserve. No defaults here.

    Attributes
    ----------
    k : int
        Length of a list.
    retrieval_weight : float
        w, the share of the retrieval order, 0 to 1.
    diversity : float
        Most that a repeated category costs, on the scale of the score (0 to 1).
    max_per_category : int, optional
        Most items of one category in a list.
    reserve : int
        Rows kept beside the list, with ranks from k + 1: those of the ranker's own first `reserve` that did not make
        it. They let `evaluate` judge the ranker alone, and are never published.
    """

    k: int
    retrieval_weight: float
    diversity: float
    max_per_category: int | None
    reserve: int


def part(ranks: Array) -> Array:
    """Reciprocal rank on (0, 1]: 1 for rank 1.

    >>> part(np.array([1, 12])).tolist()
    [1.0, 0.5]
    """
    scaled: Array = (RANK_CONSTANT + 1.0) / (RANK_CONSTANT + ranks)
    return scaled


def allowed(scored: DataFrame, *, blocked_items: Sequence[str], blocked_categories: Sequence[str]) -> DataFrame:
    """Rows that are not blocked by item or category; a blocked category covers the levels below it (`a/b`)."""
    kept = scored
    if blocked_items:
        kept = kept.where(~F.col("item_id").isin(*blocked_items))
    for category in blocked_categories:
        below = F.col("item_category").startswith(category + "/")
        kept = kept.where(~F.coalesce((F.col("item_category") == category) | below, F.lit(False)))
    return kept


def rerank(scored: DataFrame, *, rules: Rules) -> DataFrame:
    """Make every user's list out of the user's scored candidates.

    Parameters
    ----------
    scored : DataFrame
        user_id, item_id (unique together), candidate_rank, logit, item_category, and any columns to be carried along.

    Returns
    -------
    DataFrame
        The rows that made a list, with `rank` (dense from 1; above k for the reserve), `score` and the columns of
        `PARTS`. `diversity` is what repeats cost (zero or negative):
        score = (1 - w) * ranker + w * retrieval + diversity. `reserve` is 1 for rows of the reserve, else 0.
    """
    schema = T.StructType([*scored.schema.fields, *_ADDED])

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in whole_groups(batches, "user_id"):
            yield from make_lists(table, rules).to_batches()

    return scored.repartition("user_id").sortWithinPartitions("user_id", "item_id").mapInArrow(kernel, schema)


def make_lists(table: pa.Table, rules: Rules) -> pa.Table:
    """Make the lists of a table of whole users, sorted by user and item (the kernel of `rerank`)."""
    starts = group_starts(table.column("user_id"))
    user = group_of_rows(starts, table.num_rows)
    slot = np.arange(table.num_rows) - starts[user]
    ranker_rank = ranks_within(user, starts, -_numbers(table, "logit"))
    retrieval_rank = ranks_within(user, starts, _numbers(table, "candidate_rank"))
    ranker, retrieval = part(ranker_rank), part(retrieval_rank)
    shape = (len(starts), int(slot.max()) + 1 if table.num_rows else 0)
    base = np.full(shape, -np.inf)
    base[user, slot] = (1.0 - rules.retrieval_weight) * ranker + rules.retrieval_weight * retrieval
    category = np.full(shape, -1, dtype=np.int64)
    category[user, slot] = _codes(table.column("item_category"))
    own = np.zeros(shape, dtype=bool)
    own[user, slot] = ranker_rank <= rules.reserve
    picked, score, cost = _greedy(base, category, own, rules)
    owner, place = np.nonzero(picked >= 0)
    rows = starts[owner] + picked[owner, place]
    listed = min(rules.k, shape[1])
    rank = np.where(place < listed, place, place - listed + rules.k) + 1
    added = {
        "rank": pa.array(rank, pa.int32()),
        "score": pa.array(score[owner, place]),
        "ranker": pa.array(ranker[rows]),
        "retrieval": pa.array(retrieval[rows]),
        "diversity": pa.array(-cost[owner, place] + 0.0),
        "ranker_rank": pa.array(ranker_rank[rows].astype(np.float64)),
        "retrieval_rank": pa.array(retrieval_rank[rows].astype(np.float64)),
        "reserve": pa.array((place >= listed).astype(np.float64)),
    }
    chosen = table.take(pa.array(rows))
    for field in _ADDED:
        chosen = chosen.append_column(field.name, added[field.name])
    return chosen


def _greedy(base: Array, category: Array, own: Array, rules: Rules) -> tuple[Array, Array, Array]:
    """Pick item after item, for all users at once: column picked at each step (-1: none), its score, its loss."""
    users, width = base.shape
    listed, kept = min(rules.k, width), min(rules.reserve, width)
    picked = np.full((users, listed + kept), -1, dtype=np.int64)
    score, cost = np.zeros(picked.shape), np.zeros(picked.shape)
    repeats = np.zeros((users, width), dtype=np.int64)
    loss = rules.diversity * (1.0 - 0.5 ** np.arange(width + 1))
    left = base.copy()
    for step in range(listed + kept):
        if step == listed:
            left[~own] = -np.inf
        now = left - loss[repeats]
        if rules.max_per_category is not None and step < listed:
            now[repeats >= rules.max_per_category] = -np.inf
        best = now.argmax(axis=1)
        row = np.flatnonzero(now[np.arange(users), best] > -np.inf)
        column = best[row]
        picked[row, step] = column
        score[row, step] = now[row, column]
        cost[row, step] = loss[repeats[row, column]]
        left[row, column] = -np.inf
        same = (category[row] == category[row, column][:, None]) & (category[row] >= 0)
        repeats[row] += same
    return picked, score, cost


def _numbers(table: pa.Table, name: str) -> Array:
    numbers: Array = table.column(name).to_numpy().astype(np.float64)
    return numbers


def _codes(column: pa.ChunkedArray) -> Array:
    """Integers that stand for the values of a text column; -1 for null."""
    encoded = column.combine_chunks().dictionary_encode()
    codes: Array = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes
