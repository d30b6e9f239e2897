"""Daily partials and features as of an instant."""

from __future__ import annotations

from recsys.data.instants import AS_OF_KEY
from recsys.data.table import Column, Table
from recsys.data.vocabulary import COUNTED_EVENTS, FEATURE_WINDOWS


def _daily(entity: str) -> Table:
    return Table(
        name=f"{entity}_daily",
        comment=f"Daily partials: what happened per {entity}, day and event type. Any window is a sum of days.",
        columns=(
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            Column("event_date", "date", "The day (UTC)", nullable=False),
            Column("event_type", "string", "Event type", nullable=False),
            Column("n", "bigint", "Events of people", nullable=False),
            Column("n_all", "bigint", "Events, robots included", nullable=False),
            Column("value_n", "bigint", "Events of people that have a value", nullable=False),
            Column("value_sum", "double", "Sum of the people's values; null where there is none"),
            Column("quantity_sum", "double", "Sum of the people's quantities"),
            Column("revenue_sum", "double", "Sum of the people's price x quantity (1 where no quantity is given)"),
            Column("last_time", "timestamp", "Latest event of people that day (UTC); null where only robots came"),
            Column("checksum", "bigint", "Sum of a hash of each event: another event makes another sum"),
        ),
        key=(f"{entity}_id", "event_date", "event_type"),
        period_column="event_date",
        checks={"n_not_negative": "n >= 0"},
    )


USER_DAILY = _daily("user")

ITEM_DAILY = _daily("item")


def _features(entity: str, extra: tuple[Column, ...]) -> Table:
    counts = tuple(
        Column(
            f"n_{event}_{days}d",
            "bigint",
            f"{event.capitalize()} events in the last {days} days",
            nullable=False,
        )
        for days in FEATURE_WINDOWS
        for event in COUNTED_EVENTS
    )
    return Table(
        name=f"{entity}_features",
        comment=f"Features of each {entity} as of an instant: strictly earlier events only.",
        columns=(
            Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
            AS_OF_KEY,
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            *counts,
            Column("value_mean_365d", "double", "Mean of value over the last 365 days, returns aside"),
            Column(
                "revenue_365d",
                "double",
                "Price x quantity of purchases less that of returns over the last 365 days, at least 0",
                nullable=False,
            ),
            Column("active_days_365d", "int", "Days with an event in the last 365 days", nullable=False),
            Column(
                "days_since_last",
                "double",
                "Days between the latest event and as_of; null without one in 365 days",
            ),
            *extra,
        ),
        key=("as_of", f"{entity}_id"),
        partitions=("as_of_key",),
        retention_days=400,
    )


USER_FEATURES = _features(
    "user",
    (
        Column("country", "string", "Country of the profile valid at as_of"),
        Column("segment", "string", "Segment of the profile valid at as_of"),
        Column("age", "int", "Years since the birth year, at as_of"),
        Column("tenure_days", "double", "Days between sign-up and as_of"),
    ),
)

ITEM_FEATURES = _features(
    "item",
    (
        Column("category", "string", "Category valid at as_of"),
        Column("brand", "string", "Brand valid at as_of"),
        Column("price", "double", "Price valid at as_of"),
        Column("available", "boolean", "Availability valid at as_of", nullable=False),
        Column("age_days", "double", "Days between entering the catalog and as_of"),
    ),
)

POSITION_EFFECTS = Table(
    name="position_effects",
    comment="How much each position of shown lists adds to being clicked, estimated from the lists before an instant.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of the lists (UTC)", nullable=False),
        AS_OF_KEY,
        Column(
            "position", "int", "Position in the list, from 1; the last one stands for all later ones", nullable=False
        ),
        Column(
            "effect",
            "double",
            "Chance of being looked at, relative to position 1; above 0, at most 1",
            nullable=False,
        ),
        Column("shown", "bigint", "Items shown there to people in the window", nullable=False),
        Column("clicked", "bigint", "Those of them that were clicked", nullable=False),
        Column(
            "method",
            "string",
            "propensity: clicks weighted by the inverse of logged propensities; alternating: fitted in turns with the "
            "appeal of items",
            nullable=False,
        ),
    ),
    key=("as_of", "position"),
    partitions=("as_of_key",),
    checks={"effect_is_positive": "effect > 0 AND effect <= 1"},
    retention_days=400,
)

USER_INTERESTS = Table(
    name="user_interests",
    comment="What each user is interested in, in words: the strongest tags of the items that the user touched.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("user_id", "string", "Public user id", nullable=False),
        Column("kind", "string", "What the tag is: category, brand or tag", nullable=False),
        Column("tag", "string", "The category, the brand, or a tag of the catalog's attributes", nullable=False),
        Column(
            "weight",
            "double",
            "Decayed TF-IDF as a share of all of the user's tags of this kind; above 0, at most 1",
            nullable=False,
        ),
        Column("rank", "int", "Order among the user's tags of this kind; 1 is the strongest", nullable=False),
    ),
    key=("as_of", "user_id", "kind", "tag"),
    partitions=("as_of_key",),
    checks={"weight_is_share": "weight >= 0 AND weight <= 1"},
    retention_days=400,
)
