"""What was found out about the tables that came in."""

from __future__ import annotations

from typing import Final

from recsys.data.instants import AS_OF_KEY
from recsys.data.table import Column, Table

CHECK_STATUSES: Final = ("ok", "note", "warn", "stop")
"""How a check can end, from harmless to grave."""

CHECKS = Table(
    name="checks",
    comment="Whether the newest day of each table looks as the days before it did: one row per check and what it is of.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was looked at (UTC)", nullable=False),
        AS_OF_KEY,
        Column("table_name", "string", "The table that was looked at", nullable=False),
        Column("check_name", "string", "What was checked, such as volume or null_share", nullable=False),
        Column(
            "subject",
            "string",
            "A column, a type of event or a reason; empty where it is the table as a whole",
            nullable=False,
        ),
        Column("value", "double", "What was found; null where there was nothing to measure"),
        Column("expected", "double", "What the days before let expect, in the unit of value; null without such days"),
        Column("bound", "double", "Where the check fails; null where it can't"),
        Column("n", "bigint", "Rows that the value is over", nullable=False),
        Column(
            "status",
            "string",
            "ok; note: worth knowing; warn: beyond the bound; stop: beyond it, and the job ended there",
            nullable=False,
        ),
        Column("message", "string", "The finding in words", nullable=False),
        Column("run_id", "string", "The run that found it, as in runs", nullable=False),
    ),
    key=("as_of", "table_name", "check_name", "subject"),
    partitions=("as_of_key",),
    checks={"check_status_known": "status IN (" + ", ".join(f"'{status}'" for status in CHECK_STATUSES) + ")"},
    retention_days=400,
    volatile=("run_id",),
)

FEATURE_STATS = Table(
    name="feature_stats",
    comment="What was fitted of each input of a ranker: how its column is scaled, filled and distributed.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of the rows that it was fitted on (UTC)", nullable=False),
        AS_OF_KEY,
        Column("model_version", "string", "The ranker, which uses these figures when it scores", nullable=False),
        Column("head", "string", "Its head", nullable=False),
        Column("input", "string", "Name of the input", nullable=False),
        Column("column_name", "string", "Column of the examples that it is made from", nullable=False),
        Column(
            "statistic",
            "string",
            "null_share; of numbers center, scale, low, high, fill and edge_1 to edge_9, where tenths of the rows begin",
            nullable=False,
        ),
        Column("value", "double", "The figure, on the scale of the transform (log for log_zscore)", nullable=False),
    ),
    key=("as_of", "model_version", "head", "input", "statistic"),
    partitions=("as_of_key",),
    retention_days=400,
)
