"""The rules for robots over a user's day, in numpy: what was hit, and from when on the user counts as a robot.

A rule looks at whole clock minutes, hours or days (UTC) of one user, and is hit at their end, so that everything behind
a verdict lies strictly before it. No rule looks beyond a day. So the verdict on a day follows from the day's events,
whatever batches they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.data import EVENT_TYPES
from recsys.ingest.settings import CleanSettings

Array = npt.NDArray[Any]

MINUTE: Final = 60_000_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_UNITS: Final = 1000
"""Weights are added as integers of this fraction, so that no sum depends on the order of its terms."""

_LOOKS: Final = ("view", "click")
_MEANT: Final = ("cart", "purchase", "play", "rating")


@dataclass(frozen=True)
class Rows:
    """Events of some users, sorted by user and time; arrays of shape (n,).

    Attributes
    ----------
    user : array of int
        Number of the user, ascending.
    time : array of int64
        Microseconds since 1970.
    action : array of int64
        Equal for the events that are one action: the lines of a basket. Adjacent at one time.
    item : array of int64
        The item, as any number.
    kind : array of int
        Index into `recsys.data.EVENT_TYPES`.
    value : array of float
        Stars of a rating; NaN where there is no value.
    """

    user: Array
    time: Array
    action: Array
    item: Array
    kind: Array
    value: Array


class Verdict(NamedTuple):
    """A user is a robot from `since` on (microseconds since 1970), by these rules, whose weights sum up to `score`."""

    user: int
    since: int
    score: float
    rules: tuple[str, ...]


@dataclass(frozen=True)
class _Hits:
    """The windows in which a rule is hit: users and the ends of the windows, arrays of shape (h,)."""

    rule: str
    user: Array
    end: Array


def verdicts(rows: Rows, settings: CleanSettings) -> list[Verdict]:
    """Judge every user-day of some users; one verdict at most per user and day, at its earliest instant.

    What is hit within one UTC day adds up, in the order of time, to the score that makes a robot.
    """
    if len(rows.user) == 0:
        return []
    limits = settings.robots
    found = [hits for hits in _all_hits(rows, settings) if limits.weights.get(hits.rule, 0.0) > 0 and len(hits.user)]
    return _summed(found, limits.weights, limits.score)


def _all_hits(rows: Rows, settings: CleanSettings) -> Iterable[_Hits]:
    limits, actions = settings.robots, _actions(rows)
    for rule, size, limit in (
        ("events_per_minute", MINUTE, settings.bot_events_per_minute),
        ("events_per_hour", HOUR, settings.bot_events_per_hour),
    ):
        at, windows = _windows(rows.user[actions], rows.time[actions], size)
        yield _hits(rule, windows, np.bincount(at) > limit, size)
    yield _regular(rows, actions, settings)
    looked = np.flatnonzero(np.isin(rows.kind, _numbers(_LOOKS)))
    for rule, size, limit in (
        ("items_per_hour", HOUR, limits.items_per_hour),
        ("items_per_day", DAY, limits.items_per_day),
    ):
        at, windows = _windows(rows.user[looked], rows.time[looked], size)
        yield _hits(rule, windows, _distinct(at, rows.item[looked]) > limit, size)
    at, days = _windows(rows.user, rows.time, DAY)
    looks, meant = _count(at, rows.kind, _LOOKS), _count(at, rows.kind, _MEANT)
    yield _hits("views_alone", days, (looks >= limits.views_alone) & (meant == 0), DAY)
    yield from _ratings(rows, at, days, settings)


def _actions(rows: Rows) -> Array:
    """Row numbers of the first event of each action."""
    return np.flatnonzero(_starts(rows.user, rows.time, rows.action))


def _windows(user: Array, time: Array, size: int) -> tuple[Array, tuple[Array, Array]]:
    """Number of the window of each row, and the user and the clock number of each window."""
    clock = time // size
    first = _starts(user, clock)
    return np.cumsum(first) - 1, (user[first], clock[first])


def _starts(*columns: Array) -> Array:
    """Which rows differ from the one before in some column; the first does."""
    first = np.zeros(len(columns[0]), dtype=bool)
    first[:1] = True
    for column in columns:
        first[1:] |= column[1:] != column[:-1]
    return first


def _hits(rule: str, windows: tuple[Array, Array], hit: Array, size: int) -> _Hits:
    user, clock = windows
    return _Hits(rule, user[hit], (clock[hit] + 1) * size)


def _regular(rows: Rows, actions: Array, settings: CleanSettings) -> _Hits:
    """Days on which the gaps between actions vary too little; longer gaps than a session's are pauses and left out.

    Plays are left out: what plays by itself follows the lengths of its pieces.
    """
    limits = settings.robots
    kept = actions[rows.kind[actions] != EVENT_TYPES.index("play")]
    at, days = _windows(rows.user[kept], rows.time[kept], DAY)
    gaps = np.diff(rows.time[kept]) // 1000
    counted = (at[1:] == at[:-1]) & (gaps <= settings.session_gap_minutes * 60_000)
    gaps, at = gaps[counted], at[1:][counted]
    n = np.bincount(at, minlength=len(days[0]))
    # Milliseconds of a day and their squares are exact as integers, and so are these sums.
    total, squares = _sums(at, gaps, len(n)), _sums(at, gaps * gaps, len(n))
    spread = n * squares.astype(float) <= (1 + limits.regular_variation**2) * total.astype(float) ** 2
    return _hits("regular_gaps", days, (n >= limits.regular_gaps) & (total > 0) & spread, DAY)


def _sums(at: Array, values: Array, groups: int) -> Array:
    """Exact integer sums of values by their group."""
    found = np.zeros(groups, dtype=np.int64)
    np.add.at(found, at, values)
    return found


def _distinct(at: Array, item: Array) -> Array:
    """Number of distinct items in each window; `at` is ascending."""
    order = np.lexsort((item, at))
    group, item = at[order], item[order]
    return np.bincount(group[_starts(group, item)])


def _numbers(kinds: Sequence[str]) -> list[int]:
    return [EVENT_TYPES.index(name) for name in kinds]


def _count(at: Array, kind: Array, kinds: Sequence[str]) -> Array:
    wanted = np.isin(kind, _numbers(kinds))
    return np.bincount(at[wanted], minlength=int(at[-1]) + 1)


def _ratings(rows: Rows, at: Array, days: tuple[Array, Array], settings: CleanSettings) -> Iterable[_Hits]:
    """Days of many ratings that all have one value, and those of them where it is an end of the scale."""
    limits, groups = settings.robots, len(days[0])
    rated = (rows.kind == EVENT_TYPES.index("rating")) & ~np.isnan(rows.value)
    group, value = at[rated], rows.value[rated]
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(low, group, value)
    np.maximum.at(high, group, value)
    equal = (np.bincount(group, minlength=groups) >= limits.equal_ratings) & (low == high)
    yield _hits("equal_ratings", days, equal, DAY)
    if limits.rating_ends is not None:
        yield _hits("extreme_ratings", days, equal & np.isin(low, limits.rating_ends), DAY)


def _summed(found: Sequence[_Hits], weights: Mapping[str, float], score: float) -> list[Verdict]:
    """Add up what was hit within each user-day, in the order of time, until it reaches the score."""
    first: dict[tuple[int, int], dict[str, int]] = {}
    for hits in found:
        day = (hits.end - 1) // DAY
        # Ascending within a rule: the first window of a day comes first.
        new = _starts(hits.user, day)
        for user, date, end in zip(hits.user[new].tolist(), day[new].tolist(), hits.end[new].tolist(), strict=True):
            first.setdefault((user, date), {})[hits.rule] = end
    judged = []
    for (user, _), ends in sorted(first.items()):
        for since in sorted(set(ends.values())):
            rules = tuple(sorted(rule for rule, end in ends.items() if end <= since))
            units = sum(round(weights[rule] * _UNITS) for rule in rules)
            if units >= round(score * _UNITS):
                judged.append(Verdict(user, since, units / _UNITS, rules))
                break
    return judged
