"""Settings of `evaluate`."""

from __future__ import annotations

from pydantic import Field

from recsys.settings import PositiveInt, Section


class EvaluateSettings(Section):
    """`evaluate`."""

    horizon_days: PositiveInt = Field(7, description="Days after as_of that are the truth")
    ks: tuple[PositiveInt, ...] = Field((5, 10, 20), description="Cut-offs")
    relevant_types: tuple[str, ...] = Field(
        ("click", "cart", "purchase", "play", "rating"), description="Event types that make an item relevant"
    )
    min_value: float | None = Field(
        None, description="Ratings below this value are not relevant; null: every rating counts"
    )
    only_new_items: bool = Field(True, description="Items that exclude_seen forbids are taken out of the truth")
    bootstrap: PositiveInt = Field(1000, description="Resamples of users for the intervals (Poisson bootstrap)")
    seed: int = Field(7, description="Seed of the resamples")
