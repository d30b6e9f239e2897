"""Labeled examples: what the ranker is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from recsys.data.instants import AS_OF_KEY
from recsys.data.table import Column, Table


@dataclass(frozen=True)
class RetrieverFeature:
    """What a retriever says of a user and an item, as an input of the ranker: the column `<name>_<what>`.

    Attributes
    ----------
    name : str
        The retriever's name, under which candidates keep its rank.
    what : str
        `rank`: the rank from 1 among the retriever's proposals, null for an item that it did not propose. Any other
        name is a pair feature, which the retriever computes for any user and item.
    comment : str
        What the column means.
    transform : {"zscore", "log_zscore"}
        How the ranker scales it by default.
    """

    name: str
    what: str
    comment: str
    transform: Literal["zscore", "log_zscore"] = "log_zscore"

    @property
    def column(self) -> Column:
        """Its column in `ctr_examples`."""
        return Column(f"{self.name}_{self.what}", "double", self.comment)

    @property
    def of_pair(self) -> bool:
        """Whether it is there for any user and item, proposed or not."""
        return self.what != "rank"


@dataclass(frozen=True)
class AttributeFeature:
    """An attribute that a mapping keeps beyond the contract, as an input of the ranker: the column `<of>_<name>`.

    Attributes
    ----------
    of : {"user", "item", "context"}
        Whose attribute: of the profile or the catalog entry valid at the time, or of the shown list.
    name : str
        Key in the map `attributes` of users, items or impressions.
    kind : {"categorical", "multi_hot", "numeric"}
        One value, several values in one text, or a number.
    separator : str
        What stands between the values of a `multi_hot` attribute.
    """

    of: Literal["user", "item", "context"]
    name: str
    kind: Literal["categorical", "multi_hot", "numeric"]
    separator: str = "|"

    @property
    def column(self) -> Column:
        """Its column in `ctr_examples`."""
        types = {"categorical": "string", "multi_hot": "array<string>", "numeric": "double"}
        whose = {"user": "the user's profile", "item": "the catalog entry", "context": "the shown list"}
        comment = f"Attribute {self.name} of {whose[self.of]} at the time"
        return Column(f"{self.of}_{self.name}", types[self.kind], comment)


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
    Column("session_seconds", "double", "Seconds since the first of them"),
    Column("session_idle_seconds", "double", "Seconds since the latest of them"),
    Column("session_idle_steps", "double", "Steps of the session since the latest of them"),
    Column("session_last_event", "string", "Type of the latest of them"),
    Column("session_item_events", "double", "Earlier events of the session on this item"),
    Column("session_item_clicks", "double", "Clicks among them"),
    Column("session_item_order", "double", "Distinct items of the session's events after the latest one on this item"),
    Column("is_last_item", "double", "1 if the session's last event was on this item"),
    Column("is_last_click", "double", "1 if the session's last click was on this item"),
    Column("last_item_distance", "double", "Position minus the position of the session's last item in this list"),
    Column("touched_distance", "double", "Position minus that of the item of this list that the session touched last"),
    Column("touched_nearest", "double", "Positions to the nearest item of this list that the session touched"),
    Column("list_touched", "double", "Items of this list that the session touched"),
    Column("price_to_last_item", "double", "Price over the price of the session's last item in this list"),
    # -- taste, from shown lists and choices of the days before; null without `ctr_examples.priors`
    Column("item_ctr_7d", "double", "Clicks of the item over looks in the 7 days before, corrected for positions"),
    Column("item_ctr_30d", "double", "The same over 30 days"),
    Column("item_ctr", "double", "The same over ctr_examples.prior_window_days"),
    Column("item_shown", "double", "How often the item was shown in that window"),
    Column("brand_ctr", "double", "Click rate of the brand in that window"),
    Column("category_ctr", "double", "Click rate of the category in that window"),
    Column("category_segment_ctr", "double", "Click rate of the category among users of the segment"),
    Column("user_brand_lift", "double", "Log of the user's clicks on the brand over those expected, newest weigh most"),
    Column("user_brand_shown", "double", "How often the user was shown the brand in the window"),
    Column("user_brand_clicks", "double", "The user's clicks among them"),
    Column("user_category_lift", "double", "The same as user_brand_lift for the category"),
    Column("user_category_shown", "double", "How often the user was shown the category in the window"),
    Column("user_category_clicks", "double", "The user's clicks among them"),
    Column("user_band_lift", "double", "The same as user_brand_lift for the tenth of the category's prices"),
    Column("user_band_shown", "double", "How often the user was shown that tenth in the window"),
    Column("user_band_clicks", "double", "The user's clicks among them"),
    Column("user_item_shown", "double", "How often the user was shown the item in the window"),
    Column("user_item_skipped", "double", "How often of these without a click"),
    Column("user_item_shown_days", "double", "Days since the latest of them"),
    Column("price_level", "double", "Share of the category's catalog that is cheaper, 0 to 1"),
    Column("user_price_level", "double", "Mean price level of what the user took up in the window"),
    Column("price_level_gap", "double", "Price level of the item minus that of the user"),
    Column("click_affinity", "double", "Logit of a click by the newest factorization of lists before the example"),
    # -- habits, from the kept history
    Column("session_variety", "double", "Distinct categories per earlier event of the session"),
    Column("user_hour_share", "double", "Share of the user's kept history in this four-hour part of the day"),
    Column("user_weekend_share", "double", "Share of it at weekends on a weekend, on weekdays on a weekday"),
    # -- retrieval, fitted on data that never saw the label; each retriever adds its own columns before this one
    Column("candidate_rank", "double", "Rank in the union of retrievers"),
    Column("candidate_score", "double", "Score in the union of retrievers"),
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
    Column(
        "origin",
        "string",
        "candidates: proposed at a past instant, labeled by what was taken up after it; lists: shown items",
        nullable=False,
    ),
    Column(
        "split",
        "string",
        "train, valid (stops the training, chooses the weights of the heads), calibration or test (judges)",
        nullable=False,
    ),
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
    Column(
        "label", "double", "Of a candidate: 1 taken up within the horizon; of a shown item: 1 clicked", nullable=False
    ),
    Column("cart", "double", "Of a shown item: 1 put into the cart from this list"),
    Column("purchase", "double", "Of a shown item: 1 bought from this list"),
    Column("propensity", "double", "Of a shown item: its logged probability at its position, 0 to 1"),
    Column(
        "sample_rate",
        "double",
        "Probability with which the row was kept, 0 to 1; weight is its inverse",
        nullable=False,
    ),
)
"""What an example is, before its features."""


def example_columns(features: Sequence[Column], attributes: Sequence[Column] = ()) -> tuple[Column, ...]:
    """Return every feature of an example.

    They are `EXAMPLE_FEATURES`, with those of retrievers before `candidate_rank`, and attributes at the end.
    """
    at = [column.name for column in EXAMPLE_FEATURES].index("candidate_rank")
    return (*EXAMPLE_FEATURES[:at], *features, *EXAMPLE_FEATURES[at:], *attributes)


def ctr_examples(features: Sequence[Column], attributes: Sequence[Column] = ()) -> Table:
    """Return the contract of `ctr_examples` for the features of some retrievers and some attributes.

    Parameters
    ----------
    features : sequence of Column
        One column per feature; see `RetrieverFeature.column`.
    attributes : sequence of Column
        One column per attribute; see `AttributeFeature.column`.
    """
    return Table(
        name="ctr_examples",
        comment="Labeled examples with point-in-time features; what the ranker is trained on.",
        columns=(*_WHICH, *example_columns(features, attributes)),
        key=("as_of", "example_id"),
        partitions=("as_of_key", "split"),
        checks={
            "origin_known": "origin IN ('candidates', 'lists')",
            "split_known": "split IN ('train', 'valid', 'calibration', 'test')",
            "label_is_binary": "label IN (0, 1)",
            "sample_rate_is_probability": "sample_rate > 0 AND sample_rate <= 1",
        },
        retention_days=90,
    )


CTR_EXAMPLES = ctr_examples(())
"""The contract without the features of retrievers, which come with the retrievers: `recsys.retrieval.registry`."""
