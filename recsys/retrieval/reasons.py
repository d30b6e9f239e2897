"""What reasons are made of: cases that hold or not, and the evidence that a user's own events give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


@dataclass(frozen=True)
class Case:
    """A reason and when it holds.

    Attributes
    ----------
    when : Column
        Whether it may be given; null counts as no.
    code : str
        The reason for machines.
    sentence : Column
        The reason for people.
    """

    when: Column
    code: str
    sentence: Column


def because_cases() -> list[Case]:
    """The item of the past that led to a proposal, by the strongest thing that the user did to it."""
    title = F.coalesce("because_title", "because_item_id")
    return [
        Case(F.col("strongest") == number, code, sentence(text, title)) for number, (_, code, text) in enumerate(VERBS)
    ]


def because_evidence(lists: DataFrame, *, events: DataFrame, as_of: datetime) -> DataFrame:
    """Say how strongly users touched what led to proposals: user_id, because_item_id, strongest (unique by pair).

    `strongest` is a position in `VERBS`; pairs without such an event before `as_of` have no row.
    """
    types = F.array(*(F.lit(kind) for kind, _, _ in VERBS))
    named = lists.where("because_item_id IS NOT NULL").select("user_id", "because_item_id").distinct()
    touched = events.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot")).select(
        "user_id",
        F.col("item_id").alias("because_item_id"),
        (F.call_function("array_position", types, F.col("event_type")) - 1).cast("int").alias("strongest"),
    )
    return (
        touched.where("strongest >= 0")
        .join(named, on=["user_id", "because_item_id"], how="left_semi")
        .groupBy("user_id", "because_item_id")
        .agg(F.min("strongest").alias("strongest"))
    )


def sentence(text: str, value: Column) -> Column:
    """Put a value into a text in the place of `{}`."""
    before, after = text.split("{}")
    return F.concat(F.lit(before), value, F.lit(after))
