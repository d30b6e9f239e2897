"""The ladder: past instants at which retrievers are fitted, and whose candidates the ranker learns from.

The newest lies a horizon before `as_of`, the others a cadence apart before it. With whole weeks, as by default,
they fall on the weekday of `as_of`, and a pipeline that runs every day or every week made each of them when it was
today: nothing is fitted for them a second time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def ladder(as_of: datetime, *, horizon_days: int, instants: int, cadence_days: int | None) -> tuple[datetime, ...]:
    """Return the instants, the newest first: the horizon of the newest ends with `as_of`.

    Parameters
    ----------
    as_of : datetime
        Exclusive bound of what is known.
    horizon_days : int
        Days after an instant whose events label its candidates.
    instants : int
        How many.
    cadence_days : int, optional
        Days between them; by default as many as the horizon has, so that no event labels two instants.

    Examples
    --------
    >>> at = datetime(2024, 5, 10, 6, tzinfo=UTC)
    >>> [f"{rung:%m-%d %H:%M}" for rung in ladder(at, horizon_days=7, instants=2, cadence_days=7)]
    ['05-03 06:00', '04-26 06:00']
    """
    latest = as_of.astimezone(UTC) - timedelta(days=horizon_days)
    cadence = cadence_days or horizon_days
    return tuple(latest - timedelta(days=step * cadence) for step in range(instants))


def days_back(*, window_days: int, horizon_days: int, instants: int, cadence_days: int | None) -> int:
    """Return how many days before `as_of` the earliest example may lie, in a shown list or on the ladder.

    Examples
    --------
    >>> days_back(window_days=30, horizon_days=7, instants=4, cadence_days=None)
    30
    """
    return max(window_days, horizon_days + (instants - 1) * (cadence_days or horizon_days))
