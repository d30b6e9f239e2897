"""Settings of `check`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, model_validator

from recsys.settings import NonNegativeFloat, OneOf, PositiveFloat, PositiveInt, Section, Share, Unique, conflict

CHECK_NAMES: Final = (
    "volume",
    "null_share",
    "new_values",
    "known_items",
    "known_users",
    "known_lists",
    "freshness",
    "quarantined",
)
"""Every check, in the order in which they are reported."""


class CheckSettings(Section):
    """`check`: what counts as odd in the newest day (the 24 hours before `as_of`), and what stops the job."""

    window_days: PositiveInt = Field(28, description="Days before the newest one that it is compared with")
    min_rows: PositiveInt = Field(100, description="Volumes and shares over fewer rows are not judged")
    volume_ratio: Annotated[PositiveFloat, Field(gt=1)] = Field(
        2.0,
        description="Most times as many rows, or as few, as the median of the same weekday (items and users: as a day "
        "before)",
    )
    null_change: Share = Field(0.1, description="Most that a column's share of nulls may lie above that of the window")
    new_share: Share = Field(
        0.01, description="Largest share of rows with values of a column of few values that the window lacks"
    )
    known_items_share: Share = Field(
        0.8, description="Least share of events whose item the catalog knows; none at all is a note"
    )
    known_users_share: Share = Field(
        0.5, description="Least share of events whose user has a profile; anonymous ones aside, none at all is a note"
    )
    known_lists_share: Share = Field(
        0.95, description="Least share of events with a list_id whose list was shown; none at all is a note"
    )
    max_age_days: NonNegativeFloat = Field(2.0, description="Days between the newest row and as_of")
    stop_age_days: PositiveFloat | None = Field(
        60.0, description="A log without any event in so many days before as_of stops the job; null: it never does"
    )
    quarantined_share: Share = Field(
        0.02, description="Largest share of refused rows (repeats aside) of the batches that brought the newest day"
    )
    repeated_share: Share = Field(0.2, description="The same for repeats")
    stops: Annotated[tuple[Annotated[str, OneOf(CHECK_NAMES, "check")], ...], Unique()] = Field(
        (), description="Checks that stop the job where they fail; all others warn"
    )

    @model_validator(mode="after")
    def _ages_are_in_order(self) -> CheckSettings:
        if self.stop_age_days is not None and self.stop_age_days < self.max_age_days:
            raise conflict(
                f"check.stop_age_days {self.stop_age_days:g} is below check.max_age_days {self.max_age_days:g}; a log "
                "would stop the job before it is worth a warning"
            )
        return self
