"""Settings of `clean`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, model_validator

from recsys.settings import Day, Entries, OneOf, PositiveFloat, PositiveInt, Section, Share, conflict, instant

LIMITS: Final = ("quarantine_limit", "duplicate_limit", "accept_changed_mapping", "reingest")
"""Settings that decide whether a batch is taken in, not what becomes of its rows."""


ROBOT_RULES: Final = (
    *("events_per_minute", "events_per_hour", "regular_gaps", "items_per_hour", "items_per_day"),
    *("views_alone", "equal_ratings", "extreme_ratings"),
)
"""The rules that robots are found by."""

RobotRule = Annotated[str, OneOf(ROBOT_RULES, "rule")]

TEST_USER: Final = "test_user"
"""What stands among a robot's rules for a declared test account."""


class RobotSettings(Section):
    """`clean.robots`: who counts as a robot. Rules look at one user's clock hour or day (UTC), and are hit at its end."""

    score: PositiveFloat = Field(
        1.0, description="A user is a robot once the rules hit within one day weigh this much together"
    )
    weights: Annotated[dict[RobotRule, Annotated[float, Field(ge=0, le=1000)]], Entries()] = Field(
        default_factory=lambda: {
            "events_per_minute": 1.0,
            "events_per_hour": 1.0,
            "regular_gaps": 1.0,
            "items_per_hour": 0.5,
            "items_per_day": 0.5,
            "views_alone": 0.5,
            "equal_ratings": 0.5,
            "extreme_ratings": 0.5,
        },
        description="Weight of each rule. A layer changes single entries; null turns a rule off",
    )
    regular_gaps: PositiveInt = Field(
        20, description="Gaps within sessions of one day, at least, for their regularity to be judged"
    )
    regular_variation: Share = Field(
        0.2, description="Gaps are regular up to this standard deviation over their mean (people: above 0.5)"
    )
    items_per_hour: PositiveInt = Field(
        300, description="Distinct items viewed or clicked in an hour: broad above this"
    )
    items_per_day: PositiveInt = Field(1000, description="Distinct items viewed or clicked in a day: broad above this")
    views_alone: PositiveInt = Field(
        500, description="Views and clicks of a day without a cart, purchase, play or rating that are odd, from this on"
    )
    equal_ratings: PositiveInt = Field(
        20, description="Ratings of a day, all of one value, that are odd, from this number on"
    )
    rating_ends: tuple[float, float] | None = Field(
        None, description="Lowest and highest rating of the scale, for extreme_ratings; null: that rule is never hit"
    )


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
    robots: RobotSettings = Field(default_factory=RobotSettings, description="Further signs of robots and abuse")
    test_users: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Test accounts (* and ? stand for any text), which count as robots from the start"
    )

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> CleanSettings:
        if self.latest is not None and instant(self.earliest) >= instant(self.latest):
            raise conflict(
                f"clean.earliest {self.earliest} is not before clean.latest {self.latest}; no event would be left"
            )
        return self
