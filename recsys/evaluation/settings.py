"""Settings of `evaluate`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recsys.data import EventTypes
from recsys.settings import PositiveInt, Section, Unique


class EvaluateSettings(Section):
    """`evaluate`."""

    horizon_days: PositiveInt = Field(7, description="Days after as_of that are the truth")
    ks: Annotated[tuple[PositiveInt, ...], Unique()] = Field(
        (5, 10, 20), min_length=1, description="Cut-offs, in any order"
    )
    relevant_types: EventTypes = Field(
        ("click", "cart", "purchase", "play", "rating"),
        min_length=1,
        description="Event types that make an item relevant",
    )
    min_value: float | None = Field(
        None, description="Ratings below this value are not relevant; null: every rating counts"
    )
    only_new_items: bool = Field(True, description="Items that exclude_seen forbids are taken out of the truth")
    propensity_clip: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        100.0, description="Largest weight of a shown item in SNIPS; lower is steadier and more biased"
    )
    bootstrap: PositiveInt = Field(1000, description="Resamples of users for the intervals (Poisson bootstrap)")
    seed: int = Field(7, description="Seed of the resamples")
