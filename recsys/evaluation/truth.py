"""What users did after `as_of`, the users themselves, and the lists to judge. The only place that reads the future.

**Truth** of a user: items of relevant events in [as_of, as_of + horizon) by people, without the items that may not be
recommended because the user had seen them before (where seen items are excluded).

**Which users are counted**: every user with truth. Users that the pipeline could not know at `as_of` (no earlier event,
no profile) have no list in any stage, the baseline included, and count zero in each: the comparison of stages stays
fair, and the price of batch recommendation stands in the figures. The slice `known` leaves these users out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import ANONYMOUS_PREFIX
from recsys.evaluation.stages import CANDIDATES, FINAL, RANKER

MAX_SEGMENTS = 10
"""Segments with a slice of their own: those with the most users with truth."""


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


def population(relevant: DataFrame, *, past: DataFrame, users: DataFrame, as_of: datetime) -> DataFrame:
    """The users with truth, and the slices that each belongs to.

    Parameters
    ----------
    relevant : DataFrame
        The truth: user_id, item_id, unique.
    past : DataFrame
        Events before `as_of`.
    users : DataFrame
        Profiles valid at `as_of`, one row per user.

    Returns
    -------
    DataFrame
        user_id (unique), n_relevant, known, slices: `all`; `known` for users that the pipeline could know;
        `history:new`, `history:1-10` or `history:11+` by earlier events; `segment:…` for the largest segments.
    """
    earlier = past.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot"))
    counted = (
        relevant.select("user_id", F.lit(1).alias("relevant"), F.lit(0).alias("past"))
        .unionByName(earlier.select("user_id", F.lit(0).alias("relevant"), F.lit(1).alias("past")))
        .groupBy("user_id")
        .agg(F.sum("relevant").cast("int").alias("n_relevant"), F.sum("past").alias("n_past"))
        .where("n_relevant > 0")
    )
    profiled = users.select("user_id", "segment", F.lit(True).alias("profiled"))
    joined = counted.join(profiled, on="user_id", how="left")
    largest = (
        joined.where("segment IS NOT NULL")
        .groupBy("segment")
        .agg(F.count("*").alias("n"))
        .orderBy(F.desc("n"), "segment")
        .limit(MAX_SEGMENTS)
        .select("segment", F.lit(True).alias("sliced"))
    )
    n_past = F.col("n_past")
    known = (n_past > 0) | F.coalesce("profiled", F.lit(False))
    history = F.when(n_past == 0, "history:new").when(n_past <= 10, "history:1-10").otherwise("history:11+")
    named = [
        F.lit("all"),
        F.when(known, F.lit("known")),
        history,
        F.when(F.col("sliced"), F.concat(F.lit("segment:"), F.col("segment"))),
    ]
    return joined.join(F.broadcast(largest), on="segment", how="left").select(
        "user_id", "n_relevant", known.alias("known"), F.array_compact(F.array(*named)).alias("slices")
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
    """What metrics need to know of items: item_id (unique), category, information, in_catalog.

    `information` is -log2 of the item's share of the people's events before `as_of`, one event added to each item so
    that one without events has a finite figure. The catalog is what `items` calls available, and what `items` does
    not know but events before `as_of` name.
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
    total = joined.agg((F.sum("n") + F.count("*")).alias("total"))
    return joined.crossJoin(F.broadcast(total)).select(
        "item_id",
        "category",
        (-F.log2((F.col("n") + 1) / F.col("total"))).alias("information"),
        "in_catalog",
    )
