"""Settings of retrieval: what counts as interest, and how candidates are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from recsys.data import EventType, EventTypesOrAll
from recsys.settings import Entries, NonNegativeFloat, PositiveFloat, PositiveInt, Section, conflict

UseValue = Literal["no", "log", "linear"]


def _no(value: Any) -> Any:
    """YAML reads a bare `no` as false."""
    return "no" if value is False else value


class SignalSettings(Section):
    """How strongly each event counts as interest in an item. Shared by every retriever."""

    weights: Annotated[dict[EventType, NonNegativeFloat], Entries()] = Field(
        default_factory=lambda: {
            "view": 1.0,
            "click": 1.0,
            "cart": 3.0,
            "purchase": 5.0,
            "play": 1.0,
            "rating": 1.0,
        },
        description="Weight of each event type that is a sign of interest; others are ignored. A layer changes single entries, null removes one",
    )
    use_value: Annotated[UseValue, BeforeValidator(_no)] = Field(
        "no", description="Multiply by the event's value: not at all, by log(1 + value), or as it is"
    )
    half_life_days: PositiveFloat | None = Field(
        None, description="Days after which an event counts half; null: no decay"
    )
    window_days: PositiveInt | None = Field(None, description="Ignore events older than this; null: the whole log")
    min_value: float | None = Field(
        None, description="Ignore ratings below this value (a low rating is no sign of interest)"
    )
    net_returns: bool = Field(
        True, description="A return takes the weight of the user's purchase of the item away, from its own time on"
    )

    @model_validator(mode="after")
    def _counts_something(self) -> SignalSettings:
        if not any(self.weights.values()):
            raise conflict("signal.weights has no weight above 0, so no event would be a sign of interest; give one")
        return self


class CandidatesSettings(Section):
    """`candidates`."""

    k: PositiveInt = Field(100, description="Candidates kept per user")
    rrf_k: PositiveFloat = Field(
        10.0, description="Constant c of reciprocal rank fusion: a proposal adds weight / (c + rank)"
    )
    fit_weights: bool = Field(
        True,
        description="Fit the weights of retrievers on the candidates of past instants; where they are not better than those of the config, or false, the config's stand",
    )
    fit_lists: PositiveInt = Field(20_000, description="Past lists that weights are fitted on, at most")
    user_window_days: PositiveInt | None = Field(
        None, description="Leave out users without an event or a shown list in these days; null: everybody"
    )
    shown_window_days: int = Field(
        30,
        ge=0,
        description="Users without an event follow from what they were shown in these days; 0: from nothing",
    )
    include_anonymous: bool = Field(False, description="Also recommend to visitors known by a session only")
    exclude_seen: bool = Field(True, description="Never recommend what the user has already seen")
    seen_types: EventTypesOrAll = Field(
        ("purchase", "play", "rating"), description="Event types that make an item seen; `*` for all"
    )
    exclude_unavailable: bool = Field(True, description="Never recommend an item that the catalog marks unavailable")
