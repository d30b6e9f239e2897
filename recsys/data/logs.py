"""What came in: events, shown lists, and the rows that broke the contract."""

from __future__ import annotations

from recsys.data.table import Column, Table
from recsys.data.vocabulary import EVENT_TYPES


def _provenance() -> tuple[Column, ...]:
    return (
        Column("source", "string", "Name of the dataset mapping that the row came through", nullable=False),
        Column("batch_id", "string", "Batch of input files that brought the row", nullable=False),
        Column("ingested_at", "timestamp", "When the row was first written (UTC)", nullable=False),
    )


def _unit() -> Column:
    return Column("unit", "string", "Unit of input (`ingested`) that brought the row first; null before version 0.8")


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
        Column("is_bot", "boolean", "True once the user's past is a robot's", nullable=False),
        *_provenance(),
        _unit(),
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
        Column("known_at", "timestamp", "When the label became known (UTC); null: with the list itself"),
        Column("device", "string", "Device as the source names it"),
        Column("country", "string", "Country or site as the source names it"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        Column("is_bot", "boolean", "True once the user's past is a robot's", nullable=False),
        *_provenance(),
        _unit(),
    ),
    key=("list_id", "item_id"),
    period_column="shown_date",
    time_column="shown_at",
    known={"label": "known_at"},
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
            "File that the row came from",
            nullable=False,
        ),
        Column(
            "reasons",
            "array<string>",
            "Every rule that the row breaks, as rule or rule:column",
            nullable=False,
        ),
        Column("raw", "string", "The row as it was read: the source line, or its columns as JSON", nullable=False),
        Column("copies", "bigint", "How many identical rows the unit held", nullable=False),
        Column("ingest_date", "date", "Date of ingested_at (UTC)", nullable=False),
        Column("ingested_at", "timestamp", "When the row was first written (UTC)", nullable=False),
        Column("unit", "string", "Unit of input (`ingested`) that held the row; null before version 0.8"),
    ),
    key=("row_hash", "batch_id", "unit"),
    partitions=("ingest_date",),
    checks={"has_reason": "size(reasons) >= 1", "copies_from_one": "copies >= 1"},
    retention_days=90,
    volatile=("ingest_date", "ingested_at"),
)

INGESTED = Table(
    name="ingested",
    comment="Units of input (files, versions of a table) that clean has taken in; written after the rows themselves.",
    columns=(
        Column("source", "string", "Name of the dataset mapping", nullable=False),
        Column("source_name", "string", "Name of the source within the mapping", nullable=False),
        Column("unit", "string", "The file or the Delta table, below input.root", nullable=False),
        Column("version", "string", "Size and time of the file, or version of the table", nullable=False),
        Column("rules_hash", "string", "Hash of the mapping and the settings that it was read under", nullable=False),
        Column("size", "bigint", "Bytes; null for a table"),
        Column("rows", "bigint", "Rows that it held, skipped ones included", nullable=False),
        Column("refused", "bigint", "Rows of it in quarantine, repeats included", nullable=False),
        Column("last_time", "timestamp", "Latest event, shown list or state among its other rows (UTC)"),
        Column("batch_id", "string", "Batch that took it in, the newest one", nullable=False),
        Column("ingested_at", "timestamp", "When that was (UTC)", nullable=False),
        Column("first_time", "timestamp", "Earliest event, shown list or state among its other rows (UTC)"),
        Column("traced", "boolean", "Whether its rows carry its name, so that it can be undone; null: before 0.8"),
        Column("columns", "array<string>", "Columns that the source had when it was read"),
    ),
    key=("source", "source_name", "unit"),
    volatile=("version", "ingested_at"),
)

ROBOTS = Table(
    name="robots",
    comment="Users who are no customers (robots, abuse, test accounts), since when, and by which rules.",
    columns=(
        Column("source", "string", "Name of the dataset mapping", nullable=False),
        Column("user_id", "string", "Public user id", nullable=False),
        Column(
            "robot_since",
            "timestamp",
            "End of the clock minute, hour or day (UTC) that told; for a test account clean.earliest",
            nullable=False,
        ),
        Column("score", "double", "Summed weights of the rules; at least clean.robots.score"),
        Column("rules_hit", "array<string>", "Rules hit within that day until then; test_user for a declared account"),
        Column("batch_id", "string", "Batch that told", nullable=False),
    ),
    key=("source", "user_id"),
    volatile=("batch_id",),
)
