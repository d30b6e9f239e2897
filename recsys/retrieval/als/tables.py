"""Contracts of the factors."""

from __future__ import annotations

from recsys.data import Column, Table


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
