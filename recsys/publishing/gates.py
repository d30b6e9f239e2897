"""What must hold of lists before they are published, and the rows that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

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


def seen_pairs(past: DataFrame, *, as_of: datetime, seen_types: Sequence[str]) -> DataFrame:
    """Distinct user_id, item_id that events of `seen_types` (`*`: of any type) before `as_of` make seen."""
    of_type = F.lit(True) if "*" in seen_types else F.col("event_type").isin(*seen_types)
    return (
        past.where((F.col("event_time") < F.lit(as_of)) & of_type & ~F.col("is_bot"))
        .select("user_id", "item_id")
        .distinct()
    )


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
        user_id, item_id that must not be recommended; None where seen items may be.

    Returns
    -------
    DataFrame
        gate, found, allowed, unit; one row per gate that applies.
    """
    per_user = lists.groupBy("user_id").agg(
        F.count("*").alias("length"),
        F.countDistinct("item_id").alias("items"),
        F.countDistinct("rank").alias("ranks"),
        F.min("rank").alias("first"),
        F.max("rank").alias("last"),
        F.count_if(_not_finite("score") | _not_finite("prediction")).alias("not_finite"),
    )
    users = candidates.select("user_id").distinct().join(per_user, on="user_id", how="full")
    dense = (F.col("first") == 1) & (F.col("last") == F.col("length")) & (F.col("ranks") == F.col("length"))
    counted = users.agg(
        (F.count("length") / F.greatest(F.count("*"), F.lit(1))).alias("users_with_list"),
        F.count_if(F.col("length") < min_list_length).alias("list_length"),
        F.count_if(~dense).alias("dense_ranks"),
        F.coalesce(F.sum(F.col("length") - F.col("items")), F.lit(0)).alias("duplicate_items"),
        F.coalesce(F.sum("not_finite"), F.lit(0)).alias("finite_scores"),
    )
    units = {
        "users_with_list": ("of the users with candidates have a list", min_users_share),
        "list_length": (f"lists are shorter than {min_list_length}", 0.0),
        "dense_ranks": ("lists have ranks that are not 1, 2, 3, …", 0.0),
        "duplicate_items": ("rows repeat an item of their list", 0.0),
        "finite_scores": ("rows have a score or prediction that is no finite number", 0.0),
    }
    rows = [
        F.struct(
            F.lit(gate).alias("gate"),
            F.col(gate).cast("double").alias("found"),
            F.lit(float(allowed)).alias("allowed"),
            F.lit(unit).alias("unit"),
        )
        for gate, (unit, allowed) in units.items()
    ]
    measured = [counted.select(F.inline(F.array(*rows)))]
    catalog = lists.join(items.select("item_id", "category", "available"), on="item_id", how="left")
    if exclude_unavailable:
        measured.append(_gate(catalog.where("NOT available"), "unavailable_items", "rows hold an unavailable item"))
    if seen is not None:
        hits = lists.join(seen, on=["user_id", "item_id"], how="left_semi")
        measured.append(_gate(hits, "seen_items", "rows hold an item that the user has seen"))
    if blocked_items or blocked_categories:
        shut = catalog.where(_blocked(blocked_items, blocked_categories))
        measured.append(_gate(shut, "blocked_items", "rows hold a blocked item or category"))
    return reduce(DataFrame.unionByName, measured)


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


def _gate(broken: DataFrame, gate: str, unit: str) -> DataFrame:
    return broken.agg(F.count("*").cast("double").alias("found")).select(
        F.lit(gate).alias("gate"), "found", F.lit(0.0).alias("allowed"), F.lit(unit).alias("unit")
    )


def _not_finite(name: str) -> Column:
    value = F.col(name)
    return F.coalesce(F.isnan(value) | (F.abs(value) == F.lit(float("inf"))), F.lit(False))


def _blocked(blocked_items: Sequence[str], blocked_categories: Sequence[str]) -> Column:
    shut = F.col("item_id").isin(*blocked_items)
    for category in blocked_categories:
        shut |= (F.col("category") == category) | F.col("category").startswith(category + "/")
    return F.coalesce(shut, F.lit(False))
