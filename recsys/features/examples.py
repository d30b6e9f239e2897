"""Labels examples of two kinds: the candidates of past instants, and shown lists.

A candidate is positive if its user took it up within the horizon after its instant, by the rule by which lists are
judged. A shown item is positive if it was clicked. Both give the pairs that `example_features` takes, with a `label`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data.instants import instant_of
from recsys.features.pairs import candidate_pairs, shown_pairs
from recsys.features.taken import after_instants, is_relevant

CANDIDATES: Final = "candidates"
LISTS: Final = "lists"
ORIGINS: Final = (CANDIDATES, LISTS)
CLICKED: Final = ("click", "cart", "purchase", "play", "rating")
"""Events that name a list and an item of it: the item was clicked, whether or not the log has its own label."""
LATER: Final = ("cart", "purchase")
"""Event types that are targets of their own: what became of a shown item after the click."""


@dataclass(frozen=True)
class Labeled:
    """Labeled pairs of one origin.

    Attributes
    ----------
    origin : {"candidates", "lists"}
    pairs : DataFrame
        The pairs that `example_features` takes, with `origin`, `label`, `cart`, `purchase` and `propensity`.
    lists : DataFrame
        The whole lists that the pairs are in: the same rows without labels, which makes reading them again cheaper.
    """

    origin: str
    pairs: DataFrame
    lists: DataFrame


def from_candidates(
    candidates: DataFrame,
    events: DataFrame,
    *,
    instants: Sequence[datetime],
    horizon_days: int,
    relevant_types: Sequence[str],
    min_value: float | None,
) -> Labeled:
    """Turn the candidates of past instants into pairs labeled by what followed.

    Users without any event in the horizon, and robots, are left out: they were away, which says nothing about what they
    like. Items that a user took up without a proposal are no examples: the ranker orders what retrieval proposes.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `recsys.data.CANDIDATES` made at the instants; others are passed over.
    events : DataFrame
        Rows of `recsys.data.EVENTS`.
    instants : sequence of datetime
        At least one.
    horizon_days : int
        Days after an instant whose events label its candidates.
    relevant_types, min_value
        As in `is_relevant`.
    """
    after = after_instants(events, instants, horizon_days=horizon_days)
    kept = _of_active(candidates, after, instants)
    rows = _with_label(kept, after, is_relevant(relevant_types, min_value))
    nothing = [F.lit(None).cast("double").alias(name) for name in (*LATER, "propensity")]
    pairs = candidate_pairs(rows, keep=("label",)).select("*", F.lit(CANDIDATES).alias("origin"), *nothing)
    return Labeled(CANDIDATES, pairs, candidate_pairs(kept))


def labeled_candidates(
    candidates: DataFrame,
    events: DataFrame,
    *,
    instants: Sequence[datetime],
    horizon_days: int,
    relevant_types: Sequence[str],
    min_value: float | None,
) -> DataFrame:
    """Return the candidates that `from_candidates` makes examples of, with their `label`; the same parameters."""
    after = after_instants(events, instants, horizon_days=horizon_days)
    return _with_label(_of_active(candidates, after, instants), after, is_relevant(relevant_types, min_value))


def _of_active(candidates: DataFrame, after: DataFrame, instants: Sequence[datetime]) -> DataFrame:
    active = after.groupBy("user_id", "as_of").agg(F.max("is_bot").alias("robot")).where("NOT robot").drop("robot")
    of_instants = candidates.where(F.col("as_of").isin(*instants))
    return of_instants.join(active, on=["user_id", "as_of"], how="left_semi")


def _with_label(candidates: DataFrame, after: DataFrame, relevant: Column) -> DataFrame:
    taken = after.where(~F.col("is_bot") & relevant).select("user_id", "as_of", "item_id").distinct()
    rows = candidates.join(taken.withColumn("taken", F.lit(1.0)), on=["user_id", "as_of", "item_id"], how="left")
    return rows.withColumn("label", F.coalesce("taken", F.lit(0.0))).drop("taken")


def from_lists(shown: DataFrame, *, as_of: datetime, window_days: int, shared: bool = False) -> Labeled:
    """Turn shown lists into labeled pairs, without those shown to robots.

    Parameters
    ----------
    shown : DataFrame
        Shown items with what became of them: see `with_outcomes`.
    as_of : datetime
        Exclusive upper bound of lists.
    window_days : int
        Days of lists.
    shared : bool
        Whether several users share a list (`shared_lists`): then each of them gets a list of their own, whose
        `list_id` has the user's id behind it.
    """
    since, shown_at = as_of - timedelta(days=window_days), F.col("shown_at")
    rows = shown.where((shown_at >= F.lit(since)) & (shown_at < F.lit(as_of)) & ~F.col("is_bot"))
    if shared:
        rows = rows.withColumn("list_id", F.concat_ws(" ", "list_id", "user_id"))
    targets = ("label", *LATER, "propensity")
    pairs = shown_pairs(rows, keep=targets).withColumn("origin", F.lit(LISTS))
    return Labeled(LISTS, pairs, shown_pairs(rows))


def with_outcomes(impressions: DataFrame, events: DataFrame) -> DataFrame:
    """Add to shown items what became of them, as far as the events tell.

    An item was clicked if the log's own label says so, or else if an event of the same user names list and item. If the
    outcome is still open, as it may be for the newest lists, it counts as not clicked.

    Parameters
    ----------
    impressions : DataFrame
        Rows of `recsys.data.IMPRESSIONS`.
    events : DataFrame
        Rows of `recsys.data.EVENTS`.

    Returns
    -------
    DataFrame
        `impressions` with `label` (0 or 1, never null), `cart` and `purchase` (0 or 1), and `outcome_date`: the day on
        which it was known, of a click the day of the click, of a label with `known_at` the day of that.
    """
    keys = ["list_id", "user_id", "item_id"]
    taken = (
        events.where(F.col("list_id").isNotNull() & F.col("event_type").isin(*CLICKED) & ~F.col("is_bot"))
        .groupBy(*keys)
        .agg(
            F.lit(1.0).alias("taken"),
            F.min(F.to_date("event_time")).alias("taken_date"),
            *(F.max((F.col("event_type") == kind).cast("double")).alias(kind) for kind in LATER),
        )
    )
    known = F.col("label").isNotNull()
    shown_date = F.to_date("shown_at")
    told = F.to_date("known_at") if "known_at" in impressions.columns else F.lit(None).cast("date")
    outcome = F.when(known, F.greatest(shown_date, told)).otherwise(F.greatest(shown_date, F.col("taken_date")))
    return (
        impressions.join(taken, on=keys, how="left")
        .withColumn("outcome_date", outcome)
        .withColumn("label", F.coalesce("label", "taken", F.lit(0.0)))
        .withColumns({kind: F.coalesce(kind, F.lit(0.0)) for kind in LATER})
        .drop("taken", "taken_date")
    )


def shared_lists(impressions: DataFrame) -> int:
    """Count the lists that were shown to several users (one number reaches the driver)."""
    owners = impressions.groupBy("list_id").agg(F.min("user_id").alias("first"), F.max("user_id").alias("last"))
    return owners.where(F.col("first") < F.col("last")).count()


@dataclass(frozen=True)
class Counts:
    """How many examples there are before sampling, at one instant or in all lists.

    Attributes
    ----------
    instant : datetime, optional
        The candidates' instant; None for lists.
    users : int
        Distinct users.
    """

    instant: datetime | None
    positives: int
    negatives: int
    users: int


def count_labels(pairs: DataFrame) -> list[Counts]:
    """Count the labels of each instant (one row per instant reaches the driver), the newest first; lists come last."""
    positive, of_candidates = F.col("label") == 1, F.col("origin") == CANDIDATES
    at = F.when(of_candidates, F.unix_micros("example_time")).alias("at")
    rows = (
        pairs.groupBy(at)
        .agg(
            F.count(F.when(positive, True)).alias("positives"),
            F.count(F.when(~positive, True)).alias("negatives"),
            F.count_distinct("user_id").alias("users"),
        )
        .orderBy(F.desc_nulls_last("at"))
        .collect()
    )
    return [
        Counts(None if row["at"] is None else instant_of(row["at"]), row["positives"], row["negatives"], row["users"])
        for row in rows
    ]
