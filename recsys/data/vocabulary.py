"""Words that several tables share."""

from __future__ import annotations

from typing import Final

EVENT_TYPES: Final = ("view", "click", "cart", "purchase", "return", "play", "rating", "other")

COUNTED_EVENTS: Final = ("view", "click", "cart", "purchase", "return", "play", "rating")

FEATURE_WINDOWS: Final = (7, 30, 365)
"""Days that the counts of `user_features` and `item_features` look back."""

ANONYMOUS_PREFIX: Final = "anon:"
"""Marks the `user_id` of a visitor who is known by a session only."""
