"""From candidates to what is shown."""

from __future__ import annotations

from recsys.data.table import Column, Table

CANDIDATES = Table(
    name="candidates",
    comment="Items proposed for each user, without seen and unavailable ones, with the retrievers that proposed them.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        Column("user_id", "string", "Public user id", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("rank", "int", "Order of the union before ranking, from 1", nullable=False),
        Column("score", "double", "Score of the union (reciprocal ranks, weighted)", nullable=False),
        Column("sources", "array<string>", "Names of the retrievers that proposed it, sorted", nullable=False),
        Column("ranks", "map<string,int>", "Rank by retriever", nullable=False),
        Column(
            "scores",
            "map<string,double>",
            "Score by retriever, on that retriever's own scale",
            nullable=False,
        ),
        Column("because_item_id", "string", "The item of the user's past that led to it, where a retriever names one"),
    ),
    key=("run_date", "user_id", "item_id"),
    partitions=("run_date",),
    checks={"rank_from_one": "rank >= 1", "has_source": "size(sources) >= 1"},
    retention_days=30,
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
        Column("sources", "array<string>", "Names of the retrievers that proposed it", nullable=False),
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

INPUT_SKEW = Table(
    name="input_skew",
    comment="How much each input of the ranker differs between the candidates of a run and the rows it learned from.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "The candidates' as_of (UTC)", nullable=False),
        Column("model_version", "string", "The ranker", nullable=False),
        Column("head", "string", "Its head", nullable=False),
        Column("input", "string", "Name of the input", nullable=False),
        Column(
            "psi",
            "double",
            "Population stability index, from 0: below .1 is usual, above .25 another population",
            nullable=False,
        ),
        Column("null_share_training", "double", "Share of the training rows without a value, 0 to 1", nullable=False),
        Column("null_share_scoring", "double", "Share of the candidates without a value, 0 to 1", nullable=False),
    ),
    key=("run_date", "head", "input"),
    partitions=("run_date",),
    checks={"psi_not_negative": "psi >= 0"},
    retention_days=365,
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
