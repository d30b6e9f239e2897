"""The ladder: past instants at which retrievers are fitted, and whose candidates the ranker learns from.

The instants lie on a fixed calendar, a cadence apart, at the time of day of `as_of`. So the runs of a week share them:
each is made once, however often the pipeline runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def ladder(as_of: datetime, *, horizon_days: int, instants: int, cadence_days: int | None) -> tuple[datetime, ...]:
    """Return the instants, the newest first: the latest of the calendar whose horizon ends by `as_of`.

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
    ['04-28 06:00', '04-21 06:00']
    """
    latest = as_of.astimezone(UTC) - timedelta(days=horizon_days)
    cadence = cadence_days or horizon_days
    newest = latest - timedelta(days=latest.toordinal() % cadence)
    return tuple(newest - timedelta(days=step * cadence) for step in range(instants))


def days_back(*, window_days: int, horizon_days: int, instants: int, cadence_days: int | None) -> int:
    """Return how many days before `as_of` the earliest example may lie, in a shown list or on the ladder.

    Examples
    --------
    >>> days_back(window_days=30, horizon_days=7, instants=4, cadence_days=None)
    35
    """
    return max(window_days, horizon_days + instants * (cadence_days or horizon_days))
