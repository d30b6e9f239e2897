"""What users did after `as_of`, the users themselves, and the lists to judge. The only place that reads the future.

**Truth** of a user: items of relevant events in [as_of, as_of + horizon) by people, without the items that may not be
recommended: those the user had seen before, and those the catalog marks unavailable (each where the lists leave them
out).

**Which users are counted**: every user with truth. Users that the pipeline could not reach at `as_of` (no earlier
event, no profile) have no list in any stage, the baseline included, and count zero in each: the comparison of stages
stays fair, and the price of batch recommendation stands in the figures. The slice `known` holds the users who did
something before `as_of` or were shown something. A profile alone tells nothing of taste, so it makes nobody known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import ANONYMOUS_PREFIX
from recsys.evaluation.cold_start import HISTORY
from recsys.evaluation.stages import CANDIDATES, FINAL, RANKER
from recsys.retrieval.tiers import tier

MAX_SEGMENTS = 10
"""Segments with a slice of their own: those with the most users with truth."""

PARTS = ("items:head", "items:tail", "items:new")
"""Slices of the truth, by how often people had touched the item before `as_of`: bit n of `parts` is slice n."""
HEAD, TAIL, NEW = 1, 2, 4
HEAD_SHARE, HEAVY_SHARE = 0.2, 0.1
"""Share of the touched items that are the head, and of the users with a past who are heavy users."""


def truth(
    events: DataFrame,
    *,
    as_of: datetime,
    horizon_days: int,
    relevant_types: Sequence[str],
    min_value: float | None = None,
    include_anonymous: bool = False,
) -> DataFrame:
    """Distinct user_id, item_id of relevant events of people within the horizon.

    Parameters
    ----------
    events : DataFrame
        Events, of any time. A user with a flagged event before the end of the horizon is a robot, and has no truth.
    min_value : float, optional
        Ratings below it, or without a value, are not relevant.
    include_anonymous : bool
        Whether visitors known by a session only are users.
    """
    time = F.col("event_time")
    until = F.lit(as_of + timedelta(days=horizon_days))
    kept = (time >= F.lit(as_of)) & (time < until) & F.col("event_type").isin(*relevant_types)
    if min_value is not None:
        kept &= (F.col("event_type") != "rating") | (F.col("value") >= min_value)
    if not include_anonymous:
        kept &= ~F.col("user_id").startswith(ANONYMOUS_PREFIX)
    robot = (time < until) & F.col("is_bot")
    # Both in one grouping by user: what a user took up within the horizon is a short list.
    users = (
        events.where(robot | kept)
        .groupBy("user_id")
        .agg(F.collect_set(F.when(kept, F.col("item_id"))).alias("items"), F.max(robot).alias("robot"))
    )
    return users.where(~F.col("robot")).select("user_id", F.explode("items").alias("item_id"))


def with_parts(relevant: DataFrame, facts: DataFrame) -> DataFrame:
    """Add to the truth which of its `PARTS` each item is in, as the bits of `parts`.

    Parameters
    ----------
    relevant : DataFrame
        user_id, item_id.
    facts : DataFrame
        `item_facts`; an item that it lacks is new.
    """
    known = facts.select("item_id", "parts")
    joined = relevant.join(known, on="item_id", how="left")
    return joined.select("user_id", "item_id", F.coalesce("parts", F.lit(TAIL | NEW)).alias("parts"))


def population(
    relevant: DataFrame,
    *,
    past: DataFrame,
    users: DataFrame,
    as_of: datetime,
    shown: DataFrame | None = None,
) -> DataFrame:
    """The users with truth, and the slices that each belongs to.

    Parameters
    ----------
    relevant : DataFrame
        The truth: user_id, item_id, unique; `parts`, where slices of the truth are wanted.
    past : DataFrame
        Events before `as_of`.
    users : DataFrame
        Profiles valid at `as_of`, one row per user.
    shown : DataFrame, optional
        Impressions before `as_of`: user_id, is_bot.

    Returns
    -------
    DataFrame
        user_id (unique), n_relevant, n_parts (relevant items in each of `PARTS`), reachable (an event, a
        profile or a shown list before `as_of`: users who could have a list), slices: `all`; `known` for users with an
        event or a shown list;
        `history:new`, `history:1-4` or `history:5+` by earlier events; `users:heavy` for the tenth of the users
        with a past who did the most; `segment:…` for the largest segments.
    """
    joined = _counted(relevant, past, shown, as_of).join(
        users.select("user_id", "segment", F.lit(True).alias("profiled")), on="user_id", how="left"
    )
    largest = (
        joined.where("segment IS NOT NULL")
        .groupBy("segment")
        .agg(F.count("*").alias("n"))
        .orderBy(F.desc("n"), "segment")
        .limit(MAX_SEGMENTS)
        .select("segment", F.lit(True).alias("sliced"))
    )
    heavy = joined.where("n_past > 0").agg(F.percentile("n_past", 1 - HEAVY_SHARE).alias("heavy"))
    n_past = F.col("n_past")
    named = [
        F.lit("all"),
        F.when((n_past > 0) | (F.col("n_shown") > 0), F.lit("known")),
        F.concat(F.lit(HISTORY), tier(n_past)),
        F.when((n_past > 0) & (n_past >= F.col("heavy")), F.lit("users:heavy")),
        F.when(F.col("sliced"), F.concat(F.lit("segment:"), F.col("segment"))),
    ]
    return (
        joined.join(F.broadcast(largest), on="segment", how="left")
        .crossJoin(F.broadcast(heavy))
        .select(
            "user_id",
            "n_relevant",
            "n_parts",
            ((n_past > 0) | (F.col("n_shown") > 0) | F.coalesce("profiled", F.lit(False))).alias("reachable"),
            F.array_compact(F.array(*named)).alias("slices"),
        )
    )


def _counted(relevant: DataFrame, past: DataFrame, shown: DataFrame | None, as_of: datetime) -> DataFrame:
    """user_id (with truth), n_relevant, n_parts, n_past, n_shown."""
    names = ("relevant", "parts", "past", "shown")

    def rows(frame: DataFrame, what: str) -> DataFrame:
        values = {name: F.lit(int(name == what)) for name in names}
        if what == "relevant" and "parts" in frame.columns:
            values["parts"] = F.col("parts")
        return frame.select("user_id", *(values[name].alias(name) for name in names))

    earlier = past.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot"))
    together = rows(relevant, "relevant").unionByName(rows(earlier, "past"))
    if shown is not None:
        together = together.unionByName(rows(shown.where(~F.col("is_bot")), "shown"))
    in_part = [F.count_if(F.col("parts").bitwiseAND(1 << bit) > 0).cast("int") for bit in range(len(PARTS))]
    return (
        together.groupBy("user_id")
        .agg(
            F.sum("relevant").cast("int").alias("n_relevant"),
            F.array(*in_part).alias("n_parts"),
            F.sum("past").alias("n_past"),
            F.sum("shown").alias("n_shown"),
        )
        .where("n_relevant > 0")
    )


def judged_lists(
    *,
    candidates: DataFrame,
    ranked: DataFrame,
    recommendations: DataFrame,
    baselines: Mapping[str, DataFrame],
    depth: int,
) -> DataFrame:
    """The lists of every stage: stage, user_id, rank, item_id down to `depth`.

    Parameters
    ----------
    candidates : DataFrame
        `candidates` of the run: each retriever's order (except the baseline's) and that of their union.
    ranked : DataFrame
        `ranked` of the run, with the ranker's own rank in score_parts: the stage `ranker`.
    recommendations : DataFrame
        What was published: the stage `final`.
    baselines : mapping of str to DataFrame
        By the name of a retriever, the list that it alone would give each user: user_id, item_id, rank.
    """
    by_retriever = candidates.select("user_id", "item_id", F.explode("ranks").alias("stage", "rank"))
    by_retriever = by_retriever.where(~F.col("stage").isin(*baselines))
    alone = ranked.withColumn("rank", F.col("score_parts")["ranker_rank"].cast("int"))
    parts = [
        by_retriever,
        *(lists.withColumn("stage", F.lit(name)) for name, lists in baselines.items()),
        candidates.withColumn("stage", F.lit(CANDIDATES)),
        alone.withColumn("stage", F.lit(RANKER)),
        recommendations.withColumn("stage", F.lit(FINAL)),
    ]
    together = parts[0].select("stage", "user_id", "rank", "item_id")
    for part in parts[1:]:
        together = together.unionByName(part.select("stage", "user_id", "rank", "item_id"))
    return together.where((F.col("rank") >= 1) & (F.col("rank") <= depth))


def item_facts(past: DataFrame, items: DataFrame, *, as_of: datetime) -> DataFrame:
    """What metrics need to know of items: item_id (unique), category, information, in_catalog, parts, touches.

    `information` is -log2 of the item's share of the people's events before `as_of`, one event added to each item so
    that one without events has a finite figure. The catalog is what `items` calls available, and what `items` does
    not know but events before `as_of` name. `parts` are the bits of `PARTS`: the head is the fifth of the items with
    events that has the most of them (items with as many as the last of these belong to it); an item without events is
    new, and in the tail. `touches` counts the item's events.
    """
    counts = (
        past.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot"))
        .groupBy("item_id")
        .agg(F.count("*").alias("n"))
    )
    known = items.select("item_id", "category", F.coalesce("available", F.lit(True)).alias("available"))
    joined = counts.join(known, on="item_id", how="full").select(
        "item_id",
        "category",
        F.coalesce("n", F.lit(0)).alias("n"),
        F.coalesce("available", F.lit(True)).alias("in_catalog"),
    )
    touched = F.when(F.col("n") > 0, F.col("n"))
    total = joined.agg((F.sum("n") + F.count("*")).alias("total"), F.percentile(touched, 1 - HEAD_SHARE).alias("head"))
    part = F.when(F.col("n") == 0, TAIL | NEW).when(F.col("n") >= F.col("head"), HEAD).otherwise(TAIL)
    return joined.crossJoin(F.broadcast(total)).select(
        "item_id",
        "category",
        (-F.log2((F.col("n") + 1) / F.col("total"))).alias("information"),
        "in_catalog",
        part.alias("parts"),
        F.col("n").alias("touches"),
    )
