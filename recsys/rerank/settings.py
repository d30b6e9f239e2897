"""Settings of `rank`."""

from __future__ import annotations

from pydantic import Field

from recsys.settings import NonNegativeFloat, PositiveInt, Section, Share


class RankSettings(Section):
    """`rank`."""

    k: PositiveInt = Field(20, description="Length of a user's list")
    batch_size: PositiveInt = Field(8192, description="Rows scored at once")
    retrieval_weight: Share = Field(
        0.75,
        description="Share of the retrieval order in the final score, where the ranker learned from shown lists alone",
    )
    max_psi: NonNegativeFloat | None = Field(
        None,
        description="Largest difference (population stability index) of an input between training rows and candidates; null: any",
    )
    diversity: Share = Field(0.1, description="Weight of category variety in the greedy re-ranking; 0 turns it off")
    max_per_category: PositiveInt | None = Field(None, description="Most items of a category in a list")
    blocked_items: tuple[str, ...] = Field((), description="Item ids never shown")
    blocked_categories: tuple[str, ...] = Field((), description="Categories never shown")
