"""What must hold of lists before they are published, and the rows that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.errors import DataError

WAY_OUT = {
    "users_with_list": "run candidates and rank for this as_of again, or lower publish.min_users_share",
    "list_length": "raise candidates.k, ease rank.max_per_category and the blocks, or lower publish.min_list_length",
    "dense_ranks": "run rank for this as_of again",
    "duplicate_items": "run rank for this as_of again",
    "finite_scores": "the ranker gives no numbers: run train_ctr and rank again",
    "unavailable_items": "the catalog changed after candidates ran: run candidates and rank again",
    "seen_items": "the log changed after candidates ran: run candidates and rank again",
    "blocked_items": "the blocks changed after rank ran: run rank again",
}
"""Every gate, with what to do when it is shut."""

_OF_ROWS = ("finite_scores", "unavailable_items", "seen_items", "blocked_items")
"""Gates that count rows."""


@dataclass(frozen=True)
class GateResult:
    """How a gate was found.

    Attributes
    ----------
    found, allowed : float
        The figure and its bound: from below for `users_with_list`, from above for the others.
    unit : str
        What the figure counts.
    """

    gate: str
    found: float
    allowed: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether the lists may pass."""
        return self.found >= self.allowed if self.gate == "users_with_list" else self.found <= self.allowed


def published(ranked: DataFrame, *, k: int) -> DataFrame:
    """The part of `ranked` that is published: the first `k` of the lists, without the reserve behind them."""
    return ranked.where((F.col("rank") <= k) & (F.col("score_parts")["reserve"] == 0))


def seen_events(past: DataFrame, *, as_of: datetime, seen_types: Sequence[str]) -> DataFrame:
    """user_id, item_id of the people's events of `seen_types` (`*`: of any type) before `as_of`; pairs may repeat."""
    of_type = F.lit(True) if "*" in seen_types else F.col("event_type").isin(*seen_types)
    return past.where((F.col("event_time") < F.lit(as_of)) & of_type & ~F.col("is_bot")).select("user_id", "item_id")


def seen_pairs(past: DataFrame, *, as_of: datetime, seen_types: Sequence[str]) -> DataFrame:
    """Distinct user_id, item_id that events of `seen_types` before `as_of` make seen."""
    return seen_events(past, as_of=as_of, seen_types=seen_types).distinct()


def gates(
    lists: DataFrame,
    *,
    candidates: DataFrame,
    items: DataFrame,
    seen: DataFrame | None,
    min_users_share: float,
    min_list_length: int,
    exclude_unavailable: bool,
    blocked_items: Sequence[str] = (),
    blocked_categories: Sequence[str] = (),
) -> DataFrame:
    """Measure every gate.

    Parameters
    ----------
    lists : DataFrame
        What would be published: user_id, rank, item_id, score, prediction.
    candidates : DataFrame
        user_id of the run's candidates.
    items : DataFrame
        The catalog valid at `as_of`: item_id (unique), category, available.
    seen : DataFrame, optional
        user_id, item_id that must not be recommended (pairs may repeat); None where seen items may be.

    Returns
    -------
    DataFrame
        gate, found, allowed, unit; one row per gate that applies.
    """
    shut = _blocked(blocked_items, blocked_categories)
    users = candidates.select("user_id").distinct().join(_per_user(lists, items, seen, shut), on="user_id", how="full")
    length = F.col("length")
    dense = (F.col("first") == 1) & (F.col("last") == length) & (F.col("ranks") == length)
    measures = {
        "users_with_list": F.count("length") / F.greatest(F.count(F.lit(1)), F.lit(1)),
        "list_length": F.count_if(length < min_list_length),
        "dense_ranks": F.count_if(~dense),
        "duplicate_items": F.sum(length - F.col("items")),
        **{gate: F.sum(gate) for gate in _OF_ROWS},
    }
    units = {
        "users_with_list": ("of the users with candidates have a list", min_users_share),
        "list_length": (f"lists are shorter than {min_list_length}", 0.0),
        "dense_ranks": ("lists have ranks that are not 1, 2, 3, …", 0.0),
        "duplicate_items": ("rows repeat an item of their list", 0.0),
        "finite_scores": ("rows have a score or prediction that is no finite number", 0.0),
    }
    if exclude_unavailable:
        units["unavailable_items"] = ("rows hold an unavailable item", 0.0)
    if seen is not None:
        units["seen_items"] = ("rows hold an item that the user has seen", 0.0)
    if blocked_items or blocked_categories:
        units["blocked_items"] = ("rows hold a blocked item or category", 0.0)
    rows = [
        F.struct(
            F.lit(gate).alias("gate"),
            F.coalesce(F.col(gate).cast("double"), F.lit(0.0)).alias("found"),
            F.lit(float(allowed)).alias("allowed"),
            F.lit(unit).alias("unit"),
        )
        for gate, (unit, allowed) in units.items()
    ]
    counted = users.agg(*(measure.alias(gate) for gate, measure in measures.items()))
    return counted.select(F.inline(F.array(*rows)))


def _per_user(lists: DataFrame, items: DataFrame, seen: DataFrame | None, shut: Column) -> DataFrame:
    """user_id (unique), what its list is like, and how many of its rows each gate of `_OF_ROWS` finds.

    The lists and what was seen move once, to a partitioning by user that both groupings fit.
    """
    known = items.select("item_id", "category", "available")
    listed = lists.join(known, on="item_id", how="left").select(
        *("user_id", "item_id", "rank"),
        F.lit(1).alias("listed"),
        (_not_finite("score") | _not_finite("prediction")).cast("int").alias("finite_scores"),
        F.coalesce(~F.col("available"), F.lit(False)).cast("int").alias("unavailable_items"),
        shut.cast("int").alias("blocked_items"),
        F.lit(0).alias("seen"),
    )
    if seen is not None:
        nothing = [F.lit(0).alias(name) for name in ("listed", "finite_scores", "unavailable_items", "blocked_items")]
        null = F.lit(None).cast("int").alias("rank")
        listed = listed.unionByName(seen.select("user_id", "item_id", null, *nothing, F.lit(1).alias("seen")))
    per_item = (
        listed.repartition("user_id")
        .groupBy("user_id", "item_id")
        .agg(
            F.sum("listed").alias("listed"),
            F.collect_list("rank").alias("ranks"),
            *(F.sum(name).alias(name) for name in ("finite_scores", "unavailable_items", "blocked_items")),
            F.max("seen").alias("seen"),
        )
        .where("listed > 0")
    )
    ranks = F.flatten(F.collect_list("ranks"))
    per_user = per_item.groupBy("user_id").agg(
        F.sum("listed").alias("length"),
        F.count(F.lit(1)).alias("items"),
        ranks.alias("ranks"),
        *(F.sum(name).alias(name) for name in ("finite_scores", "unavailable_items", "blocked_items")),
        F.sum(F.col("listed") * F.col("seen")).alias("seen_items"),
    )
    return per_user.select(
        *("user_id", "length", "items", *_OF_ROWS),
        F.size(F.array_distinct("ranks")).alias("ranks"),
        F.array_min("ranks").alias("first"),
        F.array_max("ranks").alias("last"),
    )


def require(measured: DataFrame, *, as_of: datetime) -> list[GateResult]:
    """Return the gates, if all of them hold.

    Raises
    ------
    DataError
        Naming each gate that is shut, its figure, its bound and the way out.
    """
    results = [GateResult(**row.asDict()) for row in measured.collect()]  # one row per gate
    shut = [result for result in results if not result.holds]
    if shut:
        reasons = "; ".join(
            f"gate {r.gate}: {r.found:g} {r.unit}, {'at least' if r.gate == 'users_with_list' else 'at most'} "
            f"{r.allowed:g} allowed ({WAY_OUT[r.gate]})"
            for r in shut
        )
        raise DataError(f"nothing was published for {as_of:%Y-%m-%d}: {reasons}")
    return results


def recommendations(lists: DataFrame, *, items: DataFrame, generated_at: datetime) -> DataFrame:
    """Rows of `recommendations`: the lists with the titles valid at `as_of`."""
    titled = lists.join(items.select("item_id", "title"), on="item_id", how="left")
    return titled.select(
        *("run_date", "as_of", "user_id", "rank", "item_id", "title", "score", "reason_code", "reason"),
        "model_version",
        F.lit(generated_at).alias("generated_at"),
    )


def _not_finite(name: str) -> Column:
    value = F.col(name)
    return F.coalesce(F.isnan(value) | (F.abs(value) == F.lit(float("inf"))), F.lit(False))


def _blocked(blocked_items: Sequence[str], blocked_categories: Sequence[str]) -> Column:
    shut = F.col("item_id").isin(*blocked_items)
    for category in blocked_categories:
        shut |= (F.col("category") == category) | F.col("category").startswith(category + "/")
    return F.coalesce(shut, F.lit(False))
