"""Why an item stands in a list: a code for machines and a sentence for people, from evidence that is checked.

The reason comes from the retriever that spoke most for the item: the largest `weight / (c + rank)`, as in the union.
What it claims must be true of the user:

- neighbors: "Because you bought <title>", only where that item is in the user's own events before `as_of`; the verb is
  of the strongest of those events;
- popular: "Popular in <segment>", only where the item is in that segment's list; "Popular now", only where it is in
  everybody's, and not as one of the catalogue's untouched items that fill that list up;
- als: "People with similar taste chose this";
- else, and where the evidence is gone: "Picked for you".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

VERBS = (
    ("purchase", "because_bought", "Because you bought {}"),
    ("cart", "because_carted", "Because you put {} in your basket"),
    ("play", "because_played", "Because you played {}"),
    ("rating", "because_rated", "Because you rated {}"),
    ("click", "because_viewed", "Because you viewed {}"),
    ("view", "because_viewed", "Because you viewed {}"),
)
"""Event types from the strongest to the weakest, with the reason that each is."""

CODES = (
    *dict.fromkeys(code for _, code, _ in VERBS),
    "popular_segment",
    "popular",
    "similar_taste",
    "picked",
)
"""Every reason code."""


def with_reasons(
    lists: DataFrame,
    *,
    events: DataFrame,
    items: DataFrame,
    popular: DataFrame,
    as_of: datetime,
    weights: Mapping[str, float],
    rank_constant: float,
) -> DataFrame:
    """Add `reason_code` and `reason` to every row.

    Parameters
    ----------
    lists : DataFrame
        user_id, item_id (unique together), ranks map<string,int>, because_item_id, user_segment, and more.
    events : DataFrame
        Events; those at or after `as_of` are passed over.
    items : DataFrame
        The catalogue valid at `as_of`: item_id (unique), title.
    popular : DataFrame
        Popular items of `as_of`: segment (empty for everybody), item_id, score (0: nobody touched it).
    weights : mapping of str to float
        Weight of each retriever in the union.
    rank_constant : float
        c of the union's reciprocal ranks.
    """
    speaker = _loudest(weights, rank_constant)
    evidence = because_evidence(lists, events=events, as_of=as_of)
    titles = items.select(
        F.col("item_id").alias("because_item_id"), F.nullif(F.trim("title"), F.lit("")).alias("because_title")
    )
    local = popular.where("segment <> ''").select(
        F.col("segment").alias("user_segment"), "item_id", F.lit(True).alias("in_segment_list")
    )
    common = popular.where("segment = '' AND score > 0").select("item_id", F.lit(True).alias("in_common_list"))
    joined = (
        lists.withColumn("speaker", speaker)
        .join(evidence, on=["user_id", "because_item_id"], how="left")
        .join(titles, on="because_item_id", how="left")
        .join(local, on=["user_segment", "item_id"], how="left")
        .join(common, on="item_id", how="left")
    )
    code, sentence = _reason()
    return joined.select(*(F.col(name) for name in lists.columns), code.alias("reason_code"), sentence.alias("reason"))


def because_evidence(lists: DataFrame, *, events: DataFrame, as_of: datetime) -> DataFrame:
    """Say how strongly users touched what led to neighbours: user_id, because_item_id, strongest (unique by pair).

    `strongest` is a position in `VERBS`; pairs without such an event before `as_of` have no row.
    """
    types = F.array(*(F.lit(kind) for kind, _, _ in VERBS))
    asked = lists.where("because_item_id IS NOT NULL").select("user_id", "because_item_id").distinct()
    touched = events.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot")).select(
        "user_id",
        F.col("item_id").alias("because_item_id"),
        (F.call_function("array_position", types, F.col("event_type")) - 1).cast("int").alias("strongest"),
    )
    return (
        touched.where("strongest >= 0")
        .join(asked, on=["user_id", "because_item_id"], how="left_semi")
        .groupBy("user_id", "because_item_id")
        .agg(F.min("strongest").alias("strongest"))
    )


def _loudest(weights: Mapping[str, float], rank_constant: float) -> Column:
    """Retriever with the largest share in the union; of equals the first by name. Null where none proposed the item."""
    voices = [
        F.struct(
            (F.lit(float(weight)) / (F.lit(float(rank_constant)) + F.col("ranks")[name])).alias("voice"),
            F.lit(-number).alias("order"),
            F.lit(name).alias("name"),
        )
        for number, (name, weight) in enumerate(sorted(weights.items()))
    ]
    spoken = F.filter(F.array(*voices), lambda voice: voice["voice"].isNotNull())
    return F.array_max(spoken)["name"]


def _reason() -> tuple[Column, Column]:
    title = F.coalesce("because_title", "because_item_id")
    by_neighbour = (F.col("speaker") == "neighbors") & F.col("strongest").isNotNull()
    cases: list[tuple[Column, str, Column]] = [
        (by_neighbour & (F.col("strongest") == number), code, _sentence(text, title))
        for number, (_, code, text) in enumerate(VERBS)
    ]
    by_popularity = F.col("speaker") == "popular"
    in_segment = by_popularity & F.coalesce("in_segment_list", F.lit(False))
    in_common = by_popularity & F.coalesce("in_common_list", F.lit(False))
    cases += [
        (in_segment, "popular_segment", _sentence("Popular in {}", F.col("user_segment"))),
        (in_common, "popular", F.lit("Popular now")),
        (F.col("speaker") == "als", "similar_taste", F.lit("People with similar taste chose this")),
    ]
    code = reduce(lambda rest, case: F.when(case[0], case[1]).otherwise(rest), reversed(cases), F.lit("picked"))
    sentence = reduce(
        lambda rest, case: F.when(case[0], case[2]).otherwise(rest), reversed(cases), F.lit("Picked for you")
    )
    return code, sentence


def _sentence(text: str, value: Column) -> Column:
    before, after = text.split("{}")
    return F.concat(F.lit(before), value, F.lit(after))
