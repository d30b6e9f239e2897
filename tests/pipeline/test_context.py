"""A run's instant is UTC, whatever zone it was written in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from recsys.config import Config
from recsys.pipeline import Context

pytestmark = pytest.mark.fast

NO_SESSION: Any = None


@pytest.mark.parametrize(
    "as_of",
    [
        datetime(2024, 3, 30, 23, 30, tzinfo=UTC),
        datetime(2024, 3, 31, 1, 30, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 3, 30, 23, 30),
    ],
    ids=["UTC", "an offset", "none"],
)
def test_an_instant_is_taken_to_utc(in_new_york: None, as_of: datetime) -> None:
    """Its date is the `run_date` that the day's tables are cut by."""
    found = Context.of(NO_SESSION, Config(), as_of).as_of
    assert (found, found.tzinfo) == (datetime(2024, 3, 30, 23, 30, tzinfo=UTC), UTC)
