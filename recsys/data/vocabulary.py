"""Words that several tables share."""

from __future__ import annotations

from typing import Annotated, Final

from recsys.settings import OneOf, Unique

EVENT_TYPES: Final = ("view", "click", "cart", "purchase", "return", "play", "rating", "other")

ALL_TYPES: Final = "*"
"""Stands for every type of event where a setting says so."""

EventType = Annotated[str, OneOf(EVENT_TYPES, "event type")]
"""Type of a setting that holds a type of event."""

EventTypes = Annotated[tuple[EventType, ...], Unique()]
"""Type of a setting that holds some types of events."""

EventTypesOrAll = Annotated[tuple[Annotated[str, OneOf((*EVENT_TYPES, ALL_TYPES), "event type")], ...], Unique()]
"""The same, where `*` stands for all."""

COUNTED_EVENTS: Final = ("view", "click", "cart", "purchase", "return", "play", "rating")

FEATURE_WINDOWS: Final = (7, 30, 365)
"""Days that the counts of `user_features` and `item_features` look back."""

ANONYMOUS_PREFIX: Final = "anon:"
"""Marks the `user_id` of a visitor who is known by a session only."""
