"""Contract of the association rules."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

ASSOCIATION_RULES = Table(
    name="association_rules",
    comment="Rules: baskets that hold one or two items also hold another one.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("antecedent_id", "string", "The item that the rule starts from", nullable=False),
        Column("rank", "int", "1 is the best rule that starts from it", nullable=False),
        Column("antecedent_2_id", "string", "A second item that has to be there; null: the first is enough"),
        Column("consequent_id", "string", "The item that lies beside them", nullable=False),
        Column("support", "double", "Share of all baskets that hold them all", nullable=False),
        Column("confidence", "double", "Share of it among the baskets with the antecedent", nullable=False),
        Column("lift", "double", "Confidence over the share of all baskets with the consequent", nullable=False),
        Column("n", "bigint", "Baskets that hold them all", nullable=False),
    ),
    key=("as_of", "retriever", "antecedent_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={
        "rank_from_one": "rank >= 1",
        "unlike_items": "antecedent_id <> consequent_id AND NOT (antecedent_2_id <=> antecedent_id) "
        "AND NOT (antecedent_2_id <=> consequent_id)",
        "confidence_share": "confidence > 0 AND confidence <= 1",
    },
    retention_days=90,
)
