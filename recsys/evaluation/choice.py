"""How much each head counts in the ranker's score, and whether the ranker is used at all.

Both are decided on the candidates of the newest past instant that were held out as whole lists. The weights are chosen
on its users of `valid`, one head after the other: the weight with the largest product of NDCG (what users went on to
take up) and SNIPS (the click rate that logged impressions promise), among those that keep half of the NDCG that the
ranker gains over the order of retrieval (by the config's weights or by those of the day, whichever is better). Without
matching impressions it is 0: nothing tells what it is worth. The users of `test` judge what came of it. A ranker is
used if its lists are better than those by the config's weights of the retrievers, by a 95 % interval of the paired
difference, which says that it has learned something, and if the head `engage` alone is not behind the order of
retrieval, whose weights were fitted for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from recsys.arrow import Array, group_of_rows, group_starts, ranks_within, whole_groups
from recsys.ctr.heads import CLICK, ENGAGE, Choice, Heads, Point
from recsys.evaluation.heldout import held_out
from recsys.progress import step
from recsys.retrieval.frames import persisted

GRID: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Weights that are tried."""
MIN_LISTS: Final = 30
"""Fewer lists choose no weight and prove no gain."""
KEPT: Final = 0.5
"""Share of the gain in NDCG that may not be given up for the sake of clicks."""
SMALLEST: Final = 1e-9
"""Probabilities below it count as this in a logarithm."""
_UNIT = float(2**30)
"""Figures are summed as whole multiples of 2^-30, so that the order of summation cannot matter."""
_NAMES = ("lists", "ndcg", "gain", "squares", "examined", "clicked", "predicted")
_SUMS = "order int, " + ", ".join(f"{name} bigint" for name in _NAMES)

Weights = Mapping[str, float]

PLAIN: Final[Weights] = {"": 1.0}
"""The order of the union by the config's weights of the retrievers."""


@dataclass(frozen=True)
class Order:
    """What an order of the candidates is worth.

    Attributes
    ----------
    lists : int
        Lists with something that was taken up.
    ndcg : float
        Mean NDCG@k over them.
    gain, error : float
        Mean difference from the first order, and its standard error.
    snips : float, optional
        Clicks over examined impressions among the first k.
    predicted : float, optional
        The same by the head `click`: its mean prediction over these impressions.
    """

    lists: int
    ndcg: float
    gain: float
    error: float
    snips: float | None
    predicted: float | None = None


def decide(
    examples: DataFrame,
    impressions: DataFrame,
    heads: Heads,
    *,
    k: int,
    batch_size: int,
    horizon_days: int,
    effects: DataFrame | None,
    plain: Column,
    clip: float = 100.0,
) -> Choice:
    """Choose weights and judge the ranker on held-out examples; parameters as in `held_out`.

    A ranker without the head `engage` is judged by its logloss alone: shown lists have no order of retrieval.
    """
    if ENGAGE not in heads.bundles:
        better = [head for head, bundle in heads.bundles.items() if beats_base_rate(bundle.metrics)]
        if not better:
            return Choice({}, False, "not used: on held-out lists its logloss is not below that of the base rate")
        weights = {head: float(head == better[0]) for head in heads.bundles}
        return Choice(weights, True, f"used: on held-out lists the logloss of {better[0]} is below the base rate's")
    rows = held_out(
        examples,
        impressions,
        heads,
        batch_size=batch_size,
        horizon_days=horizon_days,
        effects=effects,
        clip=clip,
        plain=plain,
    )
    with persisted(rows) as kept, step("choose the weights of the heads"):
        return choose(kept, heads, k=k)


def choose(scored: DataFrame, heads: Heads, *, k: int) -> Choice:
    """Choose weights and judge the ranker.

    Parameters
    ----------
    scored : DataFrame
        Held-out candidates, whole lists: list_id, item_id, split (valid or test), label, candidate_rank, plain_score
        (in the union by the config's weights), `p_<head>` of every head, and of the impressions that followed
        `examined` (sum of weight x effect of the position) and `clicked` (the same of clicks), both 0 where there are
        none. Read once for each head and once more.
    heads : Heads
        The fitted heads, with `engage` among them.
    k : int
        Cut-off of lists.
    """
    valid, test = scored.where("split = 'valid'"), scored.where("split = 'test'")
    weights: dict[str, float] = {ENGAGE: 1.0}
    curve: list[Point] = []
    for head, bundle in heads.bundles.items():
        if head == ENGAGE:
            continue
        weights[head] = 0.0
        if not beats_base_rate(bundle.metrics):
            continue
        orders = [{**weights, head: weight} for weight in GRID]
        plain, by_retrieval, *found = worth(valid, [PLAIN, {}, *orders], k=k)
        curve += [Point(head, w, one.ndcg, one.snips) for w, one in zip(GRID, found, strict=True)]
        weights[head] = GRID[best_of(found, retrieval=max(plain.ndcg, by_retrieval.ndcg))]
    alone = {head: float(head == ENGAGE) for head in weights}
    plain, by_retrieval, together, engage = worth(test, [PLAIN, {}, weights, alone], k=k)
    behind = engage.ndcg < by_retrieval.ndcg
    used, why = judged(plain, by_retrieval, together, heads, k=k, behind=behind)
    if not used and weights != alone:
        # What was given up for the sake of clicks may be what made it no better than retrieval.
        used, why = judged(plain, by_retrieval, engage, heads, k=k, behind=behind)
        weights = alone
    looked_at = clicks_of(engage if weights == alone else together)
    return Choice(weights, used, why, tuple(curve), looked_at)


def clicks_of(order: Order) -> dict[str, float]:
    """Return what `click` predicts for the first items of held-out lists, and what their impressions say."""
    if order.predicted is None or order.snips is None:
        return {}
    return {"click_test_top_predicted": order.predicted, "click_test_top_observed": order.snips}


def beats_base_rate(metrics: Mapping[str, float]) -> bool:
    """Whether a model's held-out logloss is below that of the constant; without held-out figures it is not."""
    loss, base = metrics.get("test_logloss_calibrated"), metrics.get("test_logloss_base_rate")
    return loss is not None and base is not None and loss < base


def best_of(orders: Sequence[Order], *, retrieval: float) -> int:
    """Return the place of the best order; the first one has weight 0.

    Parameters
    ----------
    retrieval : float
        NDCG of the order of retrieval, which gains are over.

    >>> alone, half = Order(100, 0.20, 0.04, 0.01, 0.1), Order(100, 0.19, 0.03, 0.01, 0.2)
    >>> best_of([alone, half, Order(100, 0.17, 0.01, 0.01, 0.4)], retrieval=0.16)
    1
    """
    alone = orders[0]
    if alone.lists < MIN_LISTS or alone.ndcg <= retrieval or any(one.snips is None for one in orders):
        return 0
    least = retrieval + KEPT * (alone.ndcg - retrieval)
    # What is half but for the last bit is half.
    product = [one.ndcg * (one.snips or 0.0) if one.ndcg >= least - 1e-12 else -1.0 for one in orders]
    return int(np.argmax(product))


def judged(plain: Order, by_retrieval: Order, ranked: Order, heads: Heads, *, k: int, behind: bool) -> tuple[bool, str]:
    """Say whether the ranker is used, and why.

    Parameters
    ----------
    plain, by_retrieval : Order
        The union by the config's weights, and by those of the day.
    ranked : Order
        The ranker's lists; its gain is over `plain`.
    behind : bool
        Whether the head `engage` alone has a smaller NDCG than the union of the day.
    """
    if not beats_base_rate(heads.bundles[ENGAGE].metrics):
        return False, "not used: on held-out candidates its logloss is not below that of the base rate"
    if ranked.lists < MIN_LISTS:
        return False, (
            f"not used: {ranked.lists} held-out lists have an item that was taken up, {MIN_LISTS} are needed to tell "
            "whether it is better than the order of retrieval"
        )
    low, high = ranked.gain - 1.96 * ranked.error, ranked.gain + 1.96 * ranked.error
    figures = (
        f"NDCG@{k} {ranked.ndcg:.4f} on {ranked.lists:,} held-out lists, {ranked.gain:+.4f} [{low:+.4f}, {high:+.4f}] "
        f"against {plain.ndcg:.4f} by the config's weights of retrievers, {by_retrieval.ndcg:.4f} by those of the day"
    )
    used = low > 0 and not behind
    return used, f"{'used' if used else 'not used'}: {figures}"


def worth(scored: DataFrame, orders: Sequence[Weights], *, k: int) -> list[Order]:
    """Measure orders of the same lists, in one pass; the empty order is that of retrieval.

    Parameters
    ----------
    scored : DataFrame
        As for `choose`.
    orders : sequence of mappings
        Weights by head; gains are over the first one. `PLAIN` and the empty one are orders of the union.
    """
    named = [dict(order) for order in orders]
    heads = sorted({head for order in named for head in order if head})

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in whole_groups(batches, "list_id"):
            yield measured(table, named, k=k)

    wanted = [f"p_{head}" for head in dict.fromkeys([*heads, CLICK]) if f"p_{head}" in scored.columns]
    columns = ("list_id", "item_id", "label", "candidate_rank", "plain_score", "examined", "clicked", *wanted)
    ready = scored.select(*columns).repartition("list_id").sortWithinPartitions("list_id", "item_id")
    added = ready.mapInArrow(kernel, _SUMS).groupBy("order")
    found = {row["order"]: row for row in added.agg(*(F.sum(name).alias(name) for name in _NAMES)).collect()}
    return [order_of(found.get(number)) for number in range(len(named))]


def measured(table: pa.Table, orders: Sequence[Weights], *, k: int) -> pa.RecordBatch:
    """Add up the figures of whole lists, sorted by list and item (the kernel of `worth`): one row per order."""
    starts = group_starts(table.column("list_id"))
    group = group_of_rows(starts, table.num_rows)
    label = table.column("label").to_numpy()
    shown = {name: table.column(name).to_numpy() for name in ("examined", "clicked")}
    clicks = table.column(f"p_{CLICK}").to_numpy() if f"p_{CLICK}" in table.column_names else np.zeros(table.num_rows)
    shown["predicted"] = shown["examined"] * clicks
    discount = 1.0 / np.log2(1.0 + np.arange(1, k + 1))
    positives = np.bincount(group, weights=label, minlength=len(starts)).astype(np.int64)
    ideal = np.concatenate(([0.0], np.cumsum(discount)))[np.minimum(positives, k)]
    some = positives > 0
    sums: dict[str, list[int]] = {name: [] for name in ("order", *_NAMES)}
    base: Array | None = None
    for number, order in enumerate(orders):
        ranks = ranks_within(group, starts, -_score(table, order))
        top = ranks <= k
        dcg = np.bincount(group, weights=np.where(top, label / np.log2(1.0 + ranks), 0.0), minlength=len(starts))
        ndcg = dcg[some] / ideal[some]
        base = ndcg if base is None else base
        figures = {"order": number, "lists": int(some.sum()), "ndcg": _units(ndcg)}
        figures |= {"gain": _units(ndcg - base), "squares": _units((ndcg - base) ** 2)}
        figures |= {name: _units(values[top]) for name, values in shown.items()}
        for name, value in figures.items():
            sums[name].append(value)
    types = {"order": pa.int32()}
    arrays = [pa.array(values, types.get(name, pa.int64())) for name, values in sums.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(sums))


def _score(table: pa.Table, order: Weights) -> Array:
    if not order:
        ranks: Array = -table.column("candidate_rank").to_numpy().astype(np.float64)
        return ranks
    if order == PLAIN:
        plain: Array = table.column("plain_score").to_numpy()
        return plain
    score = np.zeros(table.num_rows)
    for head, weight in order.items():
        score += weight * np.log(np.maximum(table.column(f"p_{head}").to_numpy(), SMALLEST))
    return score


def order_of(sums: Row | Mapping[str, int] | None) -> Order:
    """Turn the sums of an order (of `measured`) into what it is worth."""
    if sums is None or not sums["lists"]:
        return Order(0, 0.0, 0.0, 0.0, None)
    lists, mean = sums["lists"], sums["gain"] / _UNIT / sums["lists"]
    spread = max(sums["squares"] / _UNIT / lists - mean**2, 0.0)
    return Order(
        lists=lists,
        ndcg=sums["ndcg"] / _UNIT / lists,
        gain=mean,
        error=(spread / (lists - 1)) ** 0.5 if lists > 1 else 0.0,
        snips=sums["clicked"] / sums["examined"] if sums["examined"] else None,
        predicted=sums["predicted"] / sums["examined"] if sums["predicted"] else None,
    )


def _units(figures: Array) -> int:
    return int(np.rint(figures * _UNIT).sum())
