"""Settings of retrieval: what counts as interest, and how candidates are made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsys.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Section

UseValue = Literal["no", "log", "linear"]


class SignalSettings(Section):
    """How strongly each event counts as interest in an item. Shared by every retriever."""

    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: {
            "view": 1.0,
            "click": 1.0,
            "cart": 3.0,
            "purchase": 5.0,
            "play": 1.0,
            "rating": 1.0,
        },
        description="Weight of each event type that is a sign of interest; others are ignored",
    )
    use_value: UseValue = Field(
        "no", description="Multiply by the event's value: not at all, by log(1 + value), or as it is"
    )
    half_life_days: PositiveFloat | None = Field(
        None, description="Days after which an event counts half; null: no decay"
    )
    window_days: PositiveInt | None = Field(None, description="Ignore events older than this; null: the whole log")
    min_value: float | None = Field(
        None, description="Ignore ratings below this value (a low rating is no sign of interest)"
    )


class CandidatesSettings(Section):
    """`candidates`."""

    k: PositiveInt = Field(100, description="Candidates kept per user")
    rrf_k: PositiveFloat = Field(
        10.0, description="Constant c of reciprocal rank fusion: a proposal adds weight / (c + rank)"
    )
    user_window_days: PositiveInt | None = Field(
        None, description="Leave out users without an event in these days; null: everybody"
    )
    include_anonymous: bool = Field(False, description="Also recommend to visitors known by a session only")
    exclude_seen: bool = Field(True, description="Never recommend what the user has already seen")
    seen_types: tuple[str, ...] = Field(
        ("purchase", "play", "rating"), description="Event types that make an item seen; `*` for all"
    )
    exclude_unavailable: bool = Field(True, description="Never recommend an item that the catalog marks unavailable")
