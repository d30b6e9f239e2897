"""Settings of `ctr_examples`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from recsys.data import EventTypes
from recsys.settings import PositiveFloat, PositiveInt, Section, conflict


class CtrExamplesSettings(Section):
    """`ctr_examples`: where labels come from, and how examples are sampled and split."""

    origin: Literal["auto", "impressions", "candidates"] = Field(
        "auto", description="Shown lists if there are any, else the candidates of an earlier instant"
    )
    label_window_days: PositiveInt = Field(7, description="Days before as_of whose events label candidates")
    label_types: EventTypes = Field(
        ("click", "cart", "purchase", "play", "rating"),
        min_length=1,
        description="Event types after a candidate that make it positive",
    )
    window_days: PositiveInt = Field(30, description="Days of shown lists to learn from")
    negatives_per_positive: PositiveFloat = Field(
        4.0, description="Negatives kept per positive, sampled by a hash of the key"
    )
    valid_share: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of the latest time (or of the users, for candidates of one instant) kept for validation",
    )
    test_share: float = Field(0.15, ge=0, lt=1, description="Share after that, kept for test")
    history_length: PositiveInt = Field(20, description="Items of the history sequence")
    shards: PositiveInt = Field(8, description="Parquet shards of the training split; at least one per rank is read")

    @model_validator(mode="after")
    def _leaves_training(self) -> CtrExamplesSettings:
        if self.valid_share + self.test_share >= 1:
            raise conflict(
                f"ctr_examples.valid_share {self.valid_share:g} and ctr_examples.test_share {self.test_share:g} leave no "
                "examples to train on; their sum has to be below 1"
            )
        return self
