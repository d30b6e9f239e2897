"""Settings of `clean`."""

from __future__ import annotations

from typing import Final

from pydantic import Field, model_validator

from recsys.settings import Day, PositiveInt, Section, Share, conflict, instant

LIMITS: Final = ("quarantine_limit", "duplicate_limit", "accept_changed_mapping", "reingest")
"""Settings that decide whether a batch is taken in, not what becomes of its rows."""


class CleanSettings(Section):
    """`clean`: what is refused, and when the run stops."""

    quarantine_limit: Share = Field(
        0.05, description="Largest share of broken rows (re-sent duplicates aside) per target table"
    )
    duplicate_limit: Share = Field(0.5, description="Largest share of duplicate rows per target table")
    earliest: Day = Field("1990-01-01", description="Events before this date are quarantined (UTC date)")
    latest: Day | None = Field(None, description="Events at or after this date are quarantined; null: one day from now")
    max_id_length: PositiveInt = Field(256, description="Longer ids are quarantined")
    accept_changed_mapping: bool = Field(
        False,
        description="Go on even though the mapping changed and gives events without an id of their own new ids; safe if "
        "no file is read again",
    )
    reingest: tuple[str, ...] = Field(
        (),
        description="Units (files and tables, as `ingested` names them; * and ? stand for any text) whose rows are taken "
        "back before they are read again; a name that is not there any more is taken back alone",
    )
    session_gap_minutes: PositiveInt = Field(
        30, description="Inactivity that ends a session, for sources that have no sessions"
    )
    bot_events_per_minute: PositiveInt = Field(
        60, description="A user above this rate is a robot from the next minute on"
    )
    bot_events_per_hour: PositiveInt = Field(600, description="A user above this rate is a robot from the next hour on")

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> CleanSettings:
        if self.latest is not None and instant(self.earliest) >= instant(self.latest):
            raise conflict(
                f"clean.earliest {self.earliest} is not before clean.latest {self.latest}; no event would be left"
            )
        return self
