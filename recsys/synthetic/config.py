"""What shop to make: sizes, dates, seed and rates."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

LIST_LENGTH = 10
"""Items on a full shown list; positions run from 1 to this."""

MIN_ITEMS_PER_CATEGORY = 14
_TRUTH_ROWS_UNSAMPLED = 20_000_000


class ShopConfig(BaseModel):
    """One synthetic shop. Shares are in [0, 1]; every other unit is in the field's description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(7, description="any integer; the same seed and sizes give the same lines")
    n_events: int = Field(1_000_000, ge=200, description="user actions to aim for (lines of events/)")
    n_users: int = Field(25_000, ge=20, description="people who may visit, bots and the anonymous included")
    n_items: int = Field(5_000, ge=8 * MIN_ITEMS_PER_CATEGORY, description="items in the catalog")
    start: date = Field(date(2024, 1, 1), description="first day of the log (UTC)")
    days: int = Field(60, ge=2, le=3_650, description="days of the log")
    n_categories: int = Field(24, ge=4, le=24, description="leaf categories")
    zipf: float = Field(1.1, gt=1.0, le=3.0, description="exponent of exposure within a category")
    anonymous_share: float = Field(0.08, ge=0, le=0.9, description="visitors who never log in")
    profile_share: float = Field(0.8, ge=0, le=1, description="registered users with a profile row")
    bot_share: float = Field(0.001, ge=0, le=0.2, description="users that are bots; at least one unless 0")
    bot_event_share: float = Field(0.03, ge=0, le=0.3, description="approximate share of events made by bots")
    slow_bot_share: float = Field(
        0.0, ge=0, le=0.1, description="users that are slow bots: one click about every minute, day after day"
    )
    new_user_share: float = Field(0.15, ge=0, le=0.9, description="users who first come within the log")
    cold_user_share: float = Field(0.03, ge=0, le=0.5, description="users first seen in the last cold_days")
    cold_days: int = Field(5, ge=1, description="length of that last period, in days")
    cold_item_share: float = Field(0.06, ge=0, le=0.3, description="items added while the log runs")
    explore_share: float = Field(0.05, ge=0, le=1, description="lists drawn uniformly (explore-v1)")
    trend_share: float = Field(0.15, ge=0, le=0.6, description="positions given to the week's trending items")
    arrivals_share: float = Field(0.08, ge=0, le=0.3, description="positions given to recently added items")
    repeat_share: float = Field(0.0, ge=0, le=1, description="items that are used up and ordered again")
    dirt: float = Field(1.0, ge=0, le=20, description="factor on every defect rate (0: a clean log)")
    truth_sample: float = Field(1.0, gt=0, le=1, description="share of lists kept in truth/")

    @model_validator(mode="after")
    def _sizes_fit(self) -> ShopConfig:
        if self.n_items < self.n_categories * MIN_ITEMS_PER_CATEGORY:
            raise ValueError(
                f"n_items={self.n_items} is too few for n_categories={self.n_categories}: "
                f"need at least {self.n_categories * MIN_ITEMS_PER_CATEGORY}"
            )
        if self.cold_days >= self.days:
            raise ValueError(f"cold_days={self.cold_days} must be below days={self.days}")
        return self

    @classmethod
    def for_events(cls, n_events: int, *, seed: int = 7, days: int = 60, **changes: object) -> ShopConfig:
        """Choose sizes for a number of events: users grow with it, items with its square root.

        Parameters
        ----------
        n_events
            User actions to aim for, at least 200.
        seed, days
            See the fields.
        changes
            Any other field by name; overrides what would be chosen.
        """
        items = max(420, round(5 * math.sqrt(n_events)))
        chosen: dict[str, object] = {
            "n_users": max(30, n_events // 40),
            "n_items": items,
            "n_categories": 24 if items >= 1_000 else 12,
            "truth_sample": min(1.0, _TRUTH_ROWS_UNSAMPLED / (4 * n_events)),
            "cold_days": max(1, min(5, days // 6)),
        }
        given = {key: value for key, value in changes.items() if value is not None}
        return cls.model_validate({**chosen, "n_events": n_events, "seed": seed, "days": days, **given})

    @property
    def start_ms(self) -> int:
        """First instant of the log, in milliseconds since 1970 (UTC)."""
        return int(datetime.combine(self.start, time(), tzinfo=UTC).timestamp()) * 1000

    @property
    def end(self) -> date:
        """Day after the last day of the log."""
        return self.start + timedelta(days=self.days)

    @property
    def n_fast_bots(self) -> int:
        """Number of bots that click fast; they are the first user indices."""
        return max(1, round(self.n_users * self.bot_share)) if self.bot_share > 0 else 0

    @property
    def n_bots(self) -> int:
        """Number of bots, the fast ones and behind them the slow ones."""
        slow = max(1, round(self.n_users * self.slow_bot_share)) if self.slow_bot_share > 0 else 0
        return self.n_fast_bots + slow

    @property
    def cells(self) -> int:
        """Pairs of a day and a user, the unit of generation."""
        return self.days * self.n_users
