"""Every table that the project writes: columns, types, key, partitions, checks, retention. Declared here and nowhere else.

A table is a value: jobs, tests, notebooks, the SQL documentation and the feature spec read it from this module.
Types are Spark DDL strings, so that nothing here needs a running session.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

CONTRACT_VERSION: Final = 1

EVENT_TYPES: Final = ("view", "click", "cart", "purchase", "return", "play", "rating", "other")
COUNTED_EVENTS: Final = ("view", "click", "cart", "purchase", "return", "play", "rating")
FEATURE_WINDOWS: Final = (7, 30, 365)
"""Days that the counts of `user_features` and `item_features` look back."""

ANONYMOUS_PREFIX: Final = "anon:"
"""Marks the `user_id` of a visitor who is known by a session only."""

RETRIEVERS: Final = ("als", "neighbors", "popular")


@dataclass(frozen=True)
class Column:
    """One column: its name, its Spark DDL type, what it means, and whether it may be null."""

    name: str
    type: str
    comment: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Attributes
    ----------
    key : tuple of str
        Columns that identify a row.
    partitions : tuple of str
        Partition columns. Empty for unpartitioned tables and for those with a `period_column`.
    period_column : str, optional
        A date column by which the table is partitioned at a grain chosen by config (`day`, `month`, `year`).
    time_column : str, optional
        The column that `as_of` bounds from above, exclusively.
    since_column : str, optional
        For a history of entities: when the entity itself began. A source without times of states gives the newest
        profile from the start, and somebody who signed up later must still be unknown until then.
    checks : dict of str to str
        Delta CHECK constraints, by name.
    retention_days : int, optional
        How long rows are kept; None for as long as the warehouse lives.
    volatile : tuple of str
        Columns that tell when or by which run a row was written; two equal runs may differ in these alone.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    period_column: str | None = None
    time_column: str | None = None
    since_column: str | None = None
    checks: dict[str, str] = field(default_factory=dict)
    retention_days: int | None = None
    volatile: tuple[str, ...] = ()

    @property
    def column_names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    def ddl(self) -> str:
        """Return the columns as a Spark DDL string, `name type NOT NULL, …`."""
        return ", ".join(f"`{c.name}` {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    def column(self, name: str) -> Column:
        """Return one column by name.

        Raises
        ------
        KeyError
            If the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")


def _provenance() -> tuple[Column, ...]:
    return (
        Column("source", "string", "Name of the dataset mapping that the row came through", nullable=False),
        Column("batch_id", "string", "Batch of input files that brought the row", nullable=False),
        Column("ingested_at", "timestamp", "When the row was first written (UTC)", nullable=False),
    )


def _history() -> tuple[Column, ...]:
    return (
        Column(
            "valid_from",
            "timestamp",
            "When this state began (UTC); 1970-01-01 where the source has no time",
            nullable=False,
        ),
        Column("valid_to", "timestamp", "When the next state began (UTC, exclusive); null for the newest state"),
        Column("is_current", "boolean", "True for the newest state", nullable=False),
    )


_INGESTED = ("batch_id", "ingested_at")

EVENTS = Table(
    name="events",
    comment="Cleaned user actions, one row each; append-only by event_id.",
    columns=(
        Column("event_id", "string", "The source's id, or a hash of the row's business columns", nullable=False),
        Column("user_id", "string", "Public user id; anon:<session> for a visitor without one", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("event_type", "string", "One of " + ", ".join(EVENT_TYPES), nullable=False),
        Column("event_time", "timestamp", "When it happened (UTC)", nullable=False),
        Column("event_date", "date", "Date of event_time (UTC)", nullable=False),
        Column("value", "double", "By type: rating, plays, or quantity x price"),
        Column("quantity", "double", "Units; positive, a return's units too"),
        Column("price", "double", "Price of one unit, in the source's currency"),
        Column("session_id", "string", "The source's session, or one cut at gaps of inactivity"),
        Column("session_step", "int", "Order within the session, from 1"),
        Column("list_id", "string", "The shown list that the action came from"),
        Column("position", "int", "Position in that list, from 1"),
        Column("device", "string", "Device as the source names it"),
        Column("country", "string", "Country or site as the source names it"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        Column("is_bot", "boolean", "True once the user's past rate is a robot's", nullable=False),
        *_provenance(),
    ),
    key=("event_id",),
    period_column="event_date",
    time_column="event_time",
    checks={
        "event_type_known": "event_type IN (" + ", ".join(f"'{t}'" for t in EVENT_TYPES) + ")",
        "event_date_matches": "event_date = CAST(event_time AS DATE)",
        "price_not_negative": "price IS NULL OR price >= 0",
        "position_from_one": "position IS NULL OR position >= 1",
    },
    volatile=_INGESTED,
)

IMPRESSIONS = Table(
    name="impressions",
    comment="What was shown: one row per item of a shown list.",
    columns=(
        Column("list_id", "string", "The shown list", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("user_id", "string", "Public user id; anon:<session> for a visitor without one", nullable=False),
        Column("session_id", "string", "The source's session"),
        Column("session_step", "int", "Order within the session, from 1"),
        Column("shown_at", "timestamp", "When the list was shown (UTC)", nullable=False),
        Column("shown_date", "date", "Date of shown_at (UTC)", nullable=False),
        Column("position", "int", "Position in the list, from 1", nullable=False),
        Column("price", "double", "Price shown"),
        Column("policy", "string", "Name of the policy that chose the list"),
        Column("propensity", "double", "Probability of the item at its position under the policy, 0 to 1"),
        Column("label", "double", "1 clicked, 0 not, null while the source has not resolved it"),
        Column("device", "string", "Device as the source names it"),
        Column("country", "string", "Country or site as the source names it"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        Column("is_bot", "boolean", "True once the user's past rate is a robot's", nullable=False),
        *_provenance(),
    ),
    key=("list_id", "item_id"),
    period_column="shown_date",
    time_column="shown_at",
    checks={
        "position_from_one": "position >= 1",
        "propensity_is_probability": "propensity IS NULL OR (propensity > 0 AND propensity <= 1)",
        "label_is_binary": "label IS NULL OR label IN (0, 1)",
    },
    volatile=_INGESTED,
)

QUARANTINE = Table(
    name="quarantine",
    comment="Rows that broke the contract, each with every reason and its origin.",
    columns=(
        Column("row_hash", "string", "Hash of source, target table and raw row", nullable=False),
        Column("batch_id", "string", "Batch of input files that brought the row", nullable=False),
        Column("source", "string", "Name of the dataset mapping", nullable=False),
        Column("source_name", "string", "Name of the source within the mapping", nullable=False),
        Column("target_table", "string", "Table that the row was meant for", nullable=False),
        Column(
            "source_file",
            "string",
            "File that the row came from; the first by name where several hold it",
            nullable=False,
        ),
        Column(
            "reasons",
            "array<string>",
            "Every rule that the row breaks, as rule or rule:column",
            nullable=False,
        ),
        Column("raw", "string", "The row as it was read: the source line, or its columns as JSON", nullable=False),
        Column("copies", "bigint", "How many identical rows the batch held", nullable=False),
        Column("ingest_date", "date", "Date of ingested_at (UTC)", nullable=False),
        Column("ingested_at", "timestamp", "When the row was first written (UTC)", nullable=False),
    ),
    key=("row_hash", "batch_id"),
    partitions=("ingest_date",),
    checks={"has_reason": "size(reasons) >= 1", "copies_from_one": "copies >= 1"},
    retention_days=90,
    volatile=("ingest_date", "ingested_at"),
)

ITEMS = Table(
    name="items",
    comment="The catalogue with its history: one row per item and state.",
    columns=(
        Column("item_id", "string", "Public item id", nullable=False),
        *_history(),
        Column("title", "string", "Name for people"),
        Column("category", "string", "Category; levels joined by /"),
        Column("brand", "string", "Brand, artist, publisher"),
        Column("price", "double", "Price of one unit"),
        Column("currency", "string", "Currency of the price"),
        Column("available", "boolean", "False when it must not be recommended", nullable=False),
        Column("added_at", "timestamp", "When the item entered the catalogue (UTC)"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        *_provenance(),
    ),
    key=("item_id", "valid_from"),
    time_column="valid_from",
    since_column="added_at",
    checks={"price_not_negative": "price IS NULL OR price >= 0"},
    volatile=_INGESTED,
)

USERS = Table(
    name="users",
    comment="Profiles with their history: one row per user and state.",
    columns=(
        Column("user_id", "string", "Public user id", nullable=False),
        *_history(),
        Column("country", "string", "Country"),
        Column("segment", "string", "Segment by which popularity is also counted"),
        Column("birth_year", "int", "Year of birth"),
        Column("signed_up_at", "timestamp", "When the user signed up (UTC)"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        *_provenance(),
    ),
    key=("user_id", "valid_from"),
    time_column="valid_from",
    since_column="signed_up_at",
    volatile=_INGESTED,
)


def _index(entity: str) -> Table:
    return Table(
        name=f"{entity}_index",
        comment=f"Dense integer per {entity}: stable, append-only, from 1 (0 stands for unknown).",
        columns=(
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            Column("idx", "int", "Dense integer from 1", nullable=False),
            Column("created_as_of", "timestamp", "The as_of of the run that added the row (UTC)", nullable=False),
        ),
        key=(f"{entity}_id",),
        checks={"idx_from_one": "idx >= 1"},
    )


USER_INDEX = _index("user")
ITEM_INDEX = _index("item")


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
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            *counts,
            Column("value_mean_365d", "double", "Mean of value over the last 365 days, returns aside"),
            Column(
                "revenue_365d",
                "double",
                "Price x quantity of purchases over the last 365 days",
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
        partitions=("as_of",),
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
        Column("age_days", "double", "Days between entering the catalogue and as_of"),
    ),
)


def _factors(entity: str) -> Table:
    return Table(
        name=f"als_{entity}_factors",
        comment=f"ALS factors of each {entity} under a model version.",
        columns=(
            Column("model_version", "string", "The fit that they belong to", nullable=False),
            Column("idx", "int", f"Integer of {entity}_index", nullable=False),
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            Column("factors", "array<float>", "The latent vector, rank long", nullable=False),
        ),
        key=("model_version", "idx"),
        partitions=("model_version",),
        retention_days=90,
    )


ALS_USER_FACTORS = _factors("user")
ALS_ITEM_FACTORS = _factors("item")

ITEM_NEIGHBORS = Table(
    name="item_neighbors",
    comment="Most similar items of each item, by kind of similarity.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("kind", "string", "Kind of similarity: cooccurrence", nullable=False),
        Column("item_id", "string", "The item", nullable=False),
        Column("rank", "int", "1 is the most similar", nullable=False),
        Column("neighbor_id", "string", "The similar item", nullable=False),
        Column("score", "double", "Similarity; higher is more similar", nullable=False),
        Column("support", "bigint", "Users who touched both", nullable=False),
    ),
    key=("as_of", "kind", "item_id", "rank"),
    partitions=("as_of", "kind"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "item_id <> neighbor_id"},
    retention_days=90,
)

POPULAR_ITEMS = Table(
    name="popular_items",
    comment="Most popular items over a window: overall and per segment of users.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("segment", "string", "Segment of the profile; empty string for everybody", nullable=False),
        Column("rank", "int", "1 is the most popular", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "Weighted users who touched it in the window", nullable=False),
    ),
    key=("as_of", "segment", "rank"),
    partitions=("as_of",),
    checks={"rank_from_one": "rank >= 1"},
    retention_days=90,
)

CANDIDATES = Table(
    name="candidates",
    comment="Items proposed for each user, seen and unavailable ones removed, with who proposed them.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("user_id", "string", "Public user id", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("rank", "int", "Order of the union before ranking, from 1", nullable=False),
        Column("score", "double", "Score of the union (reciprocal ranks, weighted)", nullable=False),
        Column(
            "sources",
            "array<string>",
            "Retrievers that proposed it, sorted: " + ", ".join(RETRIEVERS),
            nullable=False,
        ),
        Column("ranks", "map<string,int>", "Rank by retriever", nullable=False),
        Column(
            "scores",
            "map<string,double>",
            "Score by retriever, on that retriever's own scale",
            nullable=False,
        ),
        Column("because_item_id", "string", "The user's recent item that led to it, where neighbors proposed it"),
    ),
    key=("run_date", "user_id", "item_id"),
    partitions=("run_date",),
    checks={"rank_from_one": "rank >= 1", "has_source": "size(sources) >= 1"},
    retention_days=30,
)

EXAMPLE_FEATURES: tuple[Column, ...] = (
    # -- context of the moment
    Column("hour", "int", "Hour of the day (UTC), 0 to 23"),
    Column("day_of_week", "int", "1 Monday to 7 Sunday"),
    Column("device", "string", "Device"),
    Column("country", "string", "Country of the list, else of the profile"),
    Column("position", "int", "Position shown, from 1; null where nothing was shown"),
    Column("price", "double", "Price shown, else the catalogue's at that time"),
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
    Column("item_age_days", "double", "Days since the item entered the catalogue"),
    # -- user x item, exact to the event
    Column("user_item_events", "double", "The user's earlier events on this item, within the history kept"),
    Column("user_item_seconds", "double", "Seconds since the latest of them"),
    Column("user_category_share", "double", "Share of the user's kept history in the item's category, 0 to 1"),
    # -- the running session, exact to the event
    Column("session_events", "double", "Earlier events of the session"),
    Column("session_item_events", "double", "Earlier events of the session on this item"),
    Column("is_last_item", "double", "1 if the session's last event was on this item"),
    Column("last_item_distance", "double", "Position minus the position of the session's last item in this list"),
    # -- retrieval, from factors that never saw the label
    Column("als_score", "double", "ALS score; null where ALS did not propose it"),
    Column("als_rank", "double", "ALS rank"),
    Column("neighbors_score", "double", "Neighbour score"),
    Column("neighbors_rank", "double", "Neighbour rank"),
    Column("popular_rank", "double", "Popularity rank"),
    Column("candidate_rank", "double", "Rank in the union of retrievers"),
    # -- sequence
    Column("history", "array<string>", "Latest distinct items strictly before the example, newest first"),
)
"""Model inputs that `ctr_examples` holds and that scoring computes by the same transform. All nullable."""

CTR_EXAMPLES = Table(
    name="ctr_examples",
    comment="Labelled examples with point-in-time features; what the ranker is trained on.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of labels and features (UTC)", nullable=False),
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
        *EXAMPLE_FEATURES,
    ),
    key=("as_of", "example_id"),
    partitions=("as_of", "split"),
    checks={
        "split_known": "split IN ('train', 'valid', 'test')",
        "label_is_binary": "label IN (0, 1)",
        "sample_rate_is_probability": "sample_rate > 0 AND sample_rate <= 1",
    },
    retention_days=90,
)

MODELS = Table(
    name="models",
    comment="One row per model version; the row appears last and makes the version visible.",
    columns=(
        Column("model_version", "string", "Name of the version", nullable=False),
        Column("kind", "string", "als or ctr", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what it learned from (UTC)", nullable=False),
        Column("created_at", "timestamp", "When it was written (UTC)", nullable=False),
        Column("path", "string", "Directory of the version; null where the tables hold it all"),
        Column("config", "string", "Resolved config, JSON without secrets", nullable=False),
        Column("code_version", "string", "Version of the project", nullable=False),
        Column("metrics", "map<string,double>", "Figures of the fit", nullable=False),
        Column("data_versions", "map<string,bigint>", "Delta version of each table that it read", nullable=False),
        Column("checksums", "map<string,string>", "SHA-256 of each file of the directory", nullable=False),
    ),
    key=("model_version",),
    volatile=("created_at", "data_versions"),
)

RANKED = Table(
    name="ranked",
    comment="Scored and re-ranked lists before the gates of publishing, with score parts and reasons.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("user_id", "string", "Public user id", nullable=False),
        Column(
            "rank", "int", "1 is the best; above the length of a list: the reserve, never published", nullable=False
        ),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "Final score; higher is better", nullable=False),
        Column("prediction", "double", "Calibrated probability of engagement, 0 to 1; null without a ranker"),
        Column("score_parts", "map<string,double>", "What the score is made of", nullable=False),
        Column("sources", "array<string>", "Retrievers that proposed it", nullable=False),
        Column("reason_code", "string", "Machine-readable reason", nullable=False),
        Column("reason", "string", "Reason for people", nullable=False),
        Column("model_version", "string", "Ranker version", nullable=False),
        Column("generated_at", "timestamp", "When the row was written (UTC)", nullable=False),
    ),
    key=("run_date", "user_id", "rank"),
    partitions=("run_date",),
    checks={
        "rank_from_one": "rank >= 1",
        "prediction_is_probability": "prediction IS NULL OR (prediction >= 0 AND prediction <= 1)",
    },
    retention_days=30,
    volatile=("generated_at",),
)

RECOMMENDATIONS = Table(
    name="recommendations",
    comment="What to show: the published list of each user for a run date.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("user_id", "string", "Public user id", nullable=False),
        Column("rank", "int", "1 is the best; dense", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("title", "string", "Name of the item valid at as_of"),
        Column("score", "double", "Final score; higher is better", nullable=False),
        Column("reason_code", "string", "Machine-readable reason", nullable=False),
        Column("reason", "string", "Reason for people", nullable=False),
        Column("model_version", "string", "Ranker version", nullable=False),
        Column("generated_at", "timestamp", "When the row was written (UTC)", nullable=False),
    ),
    key=("run_date", "user_id", "rank"),
    partitions=("run_date",),
    checks={"rank_from_one": "rank >= 1"},
    retention_days=365,
    volatile=("generated_at",),
)

METRICS = Table(
    name="metrics",
    comment="Quality of each retriever, of the ranker and of the final list, with intervals.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "The recommendations' as_of (UTC)", nullable=False),
        Column(
            "model_version",
            "string",
            "Version that made the list; the retriever's name where it has none",
            nullable=False,
        ),
        Column(
            "stage",
            "string",
            "als, neighbors, popular, candidates, ranker, final, or a difference such as final-popular",
            nullable=False,
        ),
        Column("slice", "string", "all, or a part of the users such as history:new", nullable=False),
        Column("metric", "string", "Name of the metric", nullable=False),
        Column("k", "int", "Cut-off; 0 where the metric has none", nullable=False),
        Column("value", "double", "The figure"),
        Column("ci_low", "double", "Lower end of the 95 % interval"),
        Column("ci_high", "double", "Upper end of the 95 % interval"),
        Column("n", "bigint", "Users (or examples) that the figure is over", nullable=False),
    ),
    key=("run_date", "model_version", "stage", "slice", "metric", "k"),
    partitions=("run_date",),
)

RUNS = Table(
    name="runs",
    comment="One row per run of a job: what it read and wrote, how long it took, how it ended.",
    columns=(
        Column("run_id", "string", "Random id of the run", nullable=False),
        Column("job", "string", "Job name", nullable=False),
        Column("slice", "string", "What the run holds while it runs: job and as_of", nullable=False),
        Column("as_of", "timestamp", "The run's as_of (UTC)", nullable=False),
        Column("dataset", "string", "Name of the dataset mapping"),
        Column("config_hash", "string", "Hash of the resolved config", nullable=False),
        Column("code_version", "string", "Version of the project", nullable=False),
        Column("status", "string", "running, done, failed, lost (its process died) or skipped", nullable=False),
        Column("host", "string", "Host of the driver", nullable=False),
        Column("process", "string", "Process id and start time of the driver", nullable=False),
        Column("started_at", "timestamp", "Start (UTC)", nullable=False),
        Column("heartbeat_at", "timestamp", "Latest sign of life (UTC)", nullable=False),
        Column("finished_at", "timestamp", "End (UTC)"),
        Column("seconds", "double", "Wall-clock seconds"),
        Column("reads", "map<string,bigint>", "Tables read, with their Delta versions", nullable=False),
        Column("writes", "map<string,bigint>", "Tables written, with their Delta versions", nullable=False),
        Column("rows", "map<string,bigint>", "Rows written per table", nullable=False),
        Column("steps", "array<struct<name:string,seconds:double,rows:bigint>>", "Timed steps", nullable=False),
        Column("error", "string", "One sentence, where it failed"),
        Column("config", "string", "Resolved config, JSON without secrets", nullable=False),
    ),
    key=("run_id",),
    checks={"status_known": "status IN ('running', 'done', 'failed', 'lost', 'skipped')"},
    retention_days=400,
)

ALL: Final[tuple[Table, ...]] = (
    EVENTS,
    IMPRESSIONS,
    QUARANTINE,
    ITEMS,
    USERS,
    USER_INDEX,
    ITEM_INDEX,
    USER_DAILY,
    ITEM_DAILY,
    USER_FEATURES,
    ITEM_FEATURES,
    ALS_USER_FACTORS,
    ALS_ITEM_FACTORS,
    ITEM_NEIGHBORS,
    POPULAR_ITEMS,
    CANDIDATES,
    CTR_EXAMPLES,
    MODELS,
    RANKED,
    RECOMMENDATIONS,
    METRICS,
    RUNS,
)

BY_NAME: Final[dict[str, Table]] = {table.name: table for table in ALL}
