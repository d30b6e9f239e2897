"""Labeled examples: what the ranker is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from recsys.data.instants import AS_OF_KEY
from recsys.data.table import Column, Table


@dataclass(frozen=True)
class RetrieverFeature:
    """What a retriever says of a candidate, as an input of the ranker: the column `<name>_<what>`.

    Attributes
    ----------
    name : str
        The retriever's name, under which candidates keep its rank and score.
    what : {"score", "rank"}
        Its score on its own scale, or its rank from 1.
    comment : str
        What the column means; null stands for a pair that the retriever did not propose.
    transform : {"zscore", "log_zscore"}
        How the ranker scales it by default.
    """

    name: str
    what: Literal["score", "rank"]
    comment: str
    transform: Literal["zscore", "log_zscore"] = "log_zscore"

    @property
    def column(self) -> Column:
        """Its column in `ctr_examples`."""
        return Column(f"{self.name}_{self.what}", "double", self.comment)


EXAMPLE_FEATURES: tuple[Column, ...] = (
    # -- context of the moment
    Column("hour", "int", "Hour of the day (UTC), 0 to 23"),
    Column("day_of_week", "int", "1 Monday to 7 Sunday"),
    Column("device", "string", "Device"),
    Column("country", "string", "Country of the list, else of the profile"),
    Column("position", "int", "Position shown, from 1; null where nothing was shown"),
    Column("price", "double", "Price shown, else the catalog's at that time"),
    Column("price_rank_in_list", "double", "Share of the list that is cheaper, 0 to 1"),
    Column("price_to_list_mean", "double", "Price over the list's mean price"),
    # -- the user, strictly before the day of the example
    Column("user_events_7d", "double", "The user's events in the 7 days before the example's day"),
    Column("user_events_30d", "double", "The same over 30 days"),
    Column("user_events_365d", "double", "The same over 365 days"),
    Column("user_purchases_365d", "double", "The user's purchases over 365 days"),
    Column("user_segment", "string", "Segment valid at the time"),
    Column("user_age", "double", "Age in years at the time"),
    # -- the item, strictly before the day of the example
    Column("item_events_7d", "double", "The item's events in the 7 days before the example's day"),
    Column("item_events_30d", "double", "The same over 30 days"),
    Column("item_events_365d", "double", "The same over 365 days"),
    Column("item_purchases_365d", "double", "The item's purchases over 365 days"),
    Column("item_value_mean_365d", "double", "Mean value (rating, plays, revenue) of the item over 365 days"),
    Column("item_category", "string", "Category valid at the time"),
    Column("item_brand", "string", "Brand valid at the time"),
    Column("item_age_days", "double", "Days since the item entered the catalog"),
    # -- user x item, exact to the event
    Column("user_item_events", "double", "The user's earlier events on this item, within the history kept"),
    Column("user_item_seconds", "double", "Seconds since the latest of them"),
    Column("user_category_share", "double", "Share of the user's kept history in the item's category, 0 to 1"),
    # -- the running session, exact to the event
    Column("session_events", "double", "Earlier events of the session"),
    Column("session_item_events", "double", "Earlier events of the session on this item"),
    Column("is_last_item", "double", "1 if the session's last event was on this item"),
    Column("last_item_distance", "double", "Position minus the position of the session's last item in this list"),
    # -- retrieval, fitted on data that never saw the label; each retriever adds its own columns before this one
    Column("candidate_rank", "double", "Rank in the union of retrievers"),
    # -- sequence
    Column("history", "array<string>", "Latest distinct items strictly before the example, newest first"),
)
"""Model inputs that `ctr_examples` holds and that scoring computes by the same transform. All nullable.

Those of retrievers come with the retrievers: see `example_columns`.
"""


_WHICH: Final = (
    Column("as_of", "timestamp", "Exclusive upper bound of labels and features (UTC)", nullable=False),
    AS_OF_KEY,
    Column(
        "example_id",
        "string",
        "Hash of the list or candidate instant, the user and the item",
        nullable=False,
    ),
    Column("split", "string", "train, valid or test, by time", nullable=False),
    Column("user_id", "string", "Public user id", nullable=False),
    Column("item_id", "string", "Public item id", nullable=False),
    Column("list_id", "string", "The shown list, or the candidate instant and user", nullable=False),
    Column("session_id", "string", "The session"),
    Column(
        "example_time",
        "timestamp",
        "The instant that features are exact to, exclusive (UTC)",
        nullable=False,
    ),
    Column("label", "double", "1 engaged, 0 not", nullable=False),
    Column(
        "sample_rate",
        "double",
        "Probability with which the row was kept, 0 to 1; weight is its inverse",
        nullable=False,
    ),
)
"""What an example is, before its features."""


def example_columns(features: Sequence[Column]) -> tuple[Column, ...]:
    """Return every feature of an example: `EXAMPLE_FEATURES`, with those of retrievers before `candidate_rank`."""
    at = [column.name for column in EXAMPLE_FEATURES].index("candidate_rank")
    return (*EXAMPLE_FEATURES[:at], *features, *EXAMPLE_FEATURES[at:])


def ctr_examples(features: Sequence[Column]) -> Table:
    """Return the contract of `ctr_examples` for the features of some retrievers.

    Parameters
    ----------
    features : sequence of Column
        One column per feature; see `RetrieverFeature.column`.
    """
    return Table(
        name="ctr_examples",
        comment="Labeled examples with point-in-time features; what the ranker is trained on.",
        columns=(*_WHICH, *example_columns(features)),
        key=("as_of", "example_id"),
        partitions=("as_of_key", "split"),
        checks={
            "split_known": "split IN ('train', 'valid', 'test')",
            "label_is_binary": "label IN (0, 1)",
            "sample_rate_is_probability": "sample_rate > 0 AND sample_rate <= 1",
        },
        retention_days=90,
    )


CTR_EXAMPLES = ctr_examples(())
"""The contract without the features of retrievers, which come with the retrievers: `recsys.retrieval.registry`."""
