"""Sessions and the lists shown in them, for one block of users on one day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.synthetic import users as people
from recsys.synthetic.choices import BOT_CLICK, POSITION_BIAS, click_logit, sigmoid
from recsys.synthetic.config import LIST_LENGTH
from recsys.synthetic.hashing import Bools, Floats, Ints, below, mix, pick, splitmix, uniform
from recsys.synthetic.policy import HOME, Slate, draw_slates
from recsys.synthetic.world import World

BLOCK = 8_192
"""Users processed at once; bounds the memory of a worker."""

DAY_MS = 86_400_000
SESSIONS_LIMIT = 16
"""Sessions a user may have on a day stay below this; part of the keys."""
LISTS_LIMIT = 64
"""Lists a session may have stay below this; part of the keys."""

_LISTS_CUMULATIVE = np.array([0.42, 0.68, 0.83, 0.91, 0.955, 0.98, 0.992, 1.0])
_HOUR = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12, 8.0])
_HOUR_CUMULATIVE = np.cumsum(_HOUR / _HOUR.sum())
_HOME_SHARE = 0.35
_SLOW_MS = 55_000
_SLOW_DRIFT = 0.15
_LOYAL_SHARE = 0.82
_OTHER_DEVICE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Visits:
    """Sessions and lists of a block; S sessions, N lists, U users."""

    day: int
    user: Ints
    """User indices, shape (U,)."""
    who: people.Users
    session_key: Ints
    """Unique over the whole log, shape (S,)."""
    session_user: Ints
    """Row in ``user``, shape (S,)."""
    device: Ints
    """Shape (S,)."""
    list_key: Ints
    """Unique over the whole log, shape (N,)."""
    list_session: Ints
    """Row of the session, shape (N,)."""
    shown_ms: Ints
    """Milliseconds since 1970, shape (N,)."""
    page: Ints
    """``HOME`` or a category, shape (N,)."""
    length: Ints
    """Items shown, 5 to LIST_LENGTH, shape (N,)."""
    slate: Slate

    @property
    def list_user(self) -> Ints:
        """Row in ``user`` of each list, shape (N,)."""
        return self.session_user[self.list_session]

    @property
    def shown(self) -> Bools:
        """Positions that exist, shape (N, LIST_LENGTH)."""
        return np.arange(LIST_LENGTH) < self.length[:, None]


def _session_counts(world: World, day: int, user: Ints, who: people.Users, rate: float) -> Ints:
    """Draw the number of sessions of each user on a day: Poisson, cut below SESSIONS_LIMIT."""
    alive = (who.first_day <= day) & (day <= who.last_day)
    mean = np.where(alive, rate * who.activity * world.weekday[day], 0.0)
    draws = uniform(world.cfg.seed, "sessions", user + np.int64(day) * world.cfg.n_users)
    count = np.zeros(len(user), dtype=np.int64)
    term = np.exp(-mean)
    reached = term
    for k in range(1, SESSIONS_LIMIT):
        count += draws >= reached
        term = term * mean / k
        reached = reached + term
    first_visit = (who.first_day == day) & (count == 0)
    return np.where(first_visit | who.is_slow, 1, count)


def _pages(world: World, visits_user: Ints, who: people.Users, list_key: Ints, day: int) -> Ints:
    """Choose the page of each list: home, a favorite category, or another by the day's demand."""
    seed = world.cfg.seed
    draw = uniform(seed, "page", list_key)
    words = mix(seed, "page-category", list_key)
    place = pick(uniform(seed, "favourite-place", list_key), np.cumsum(people.FAVORITE_WEIGHTS))
    favorite = who.favorites[visits_user, place]
    other = pick(uniform(seed, "other-category", list_key), world.shares_cumulative[day])
    loyal = draw < _HOME_SHARE + (1 - _HOME_SHARE) * _LOYAL_SHARE
    category = np.where(loyal, favorite, other)
    category = np.where(who.is_bot[visits_user], below(words, world.cfg.n_categories), category)
    return np.where(draw < _HOME_SHARE, HOME, category)


def make_visits(world: World, day: int, user: Ints, *, rate: float) -> Visits:
    """Make the sessions and shown lists of some users on one day.

    Parameters
    ----------
    day
        Day of the log, 0 to days - 1.
    user
        User indices, shape (U,).
    rate
        Mean sessions per day of a user with activity 1.
    """
    seed = world.cfg.seed
    who = people.describe(world, user)
    count = _session_counts(world, day, user, who, rate)
    rows = np.repeat(np.arange(len(user)), count)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    session_key = (user[rows] + np.int64(day) * world.cfg.n_users) * SESSIONS_LIMIT + nth
    words = mix(seed, "session", session_key)
    hour = pick(uniform(seed, "hour", session_key), _HOUR_CUMULATIVE)
    start = world.cfg.start_ms + day * DAY_MS + hour * 3_600_000 + below(words, 3_600_000)
    switch = uniform(seed, "switch-device", session_key) < _OTHER_DEVICE_SHARE
    device = np.where(switch, below(splitmix(words), len(people.DEVICES)), who.device[rows])

    bot, slow = who.is_bot[rows], who.is_slow[rows]
    lists = 1 + pick(uniform(seed, "lists", session_key), _LISTS_CUMULATIVE)
    lists = np.where(bot, np.where(slow, 30, 20) + below(words, 21), lists)
    parent = np.repeat(np.arange(len(rows)), lists)
    step = np.arange(len(parent)) - np.repeat(np.cumsum(lists) - lists, lists)
    list_key = session_key[parent] * LISTS_LIMIT + step
    gap = np.where(bot[parent], np.where(slow[parent], _SLOW_MS, 4_000), 90_000)
    drift = np.where(slow[parent], _SLOW_DRIFT, 0.6) * gap
    shown = start[parent] + step * gap + (drift * uniform(seed, "gap", list_key)).astype(np.int64)
    page = _pages(world, rows[parent], who, list_key, day)
    cut = below(mix(seed, "length", list_key), 5 * LIST_LENGTH)
    return Visits(
        day=day,
        user=user,
        who=who,
        session_key=session_key,
        session_user=rows,
        device=device,
        list_key=list_key,
        list_session=parent,
        shown_ms=shown,
        page=page,
        length=np.where(cut < 5, 5 + cut, LIST_LENGTH),
        slate=draw_slates(world, list_key, page, np.full(len(parent), day, dtype=np.int64)),
    )


def click_probabilities(world: World, visits: Visits) -> tuple[Floats, Floats]:
    """Return the log-odds of a click on an item that was looked at, and true probabilities, shape (N, LIST_LENGTH)."""
    user_row = visits.list_user
    days = np.full(len(user_row), visits.day, dtype=np.int64)
    logit = click_logit(world, visits.who, user_row, visits.slate.category, visits.slate.local, days)
    truth = np.where(visits.who.is_bot[user_row][:, None], BOT_CLICK, sigmoid(logit) * POSITION_BIAS)
    only_first = (np.arange(LIST_LENGTH) == 0).astype(np.float64)
    truth = np.where(visits.who.is_slow[user_row][:, None], only_first, truth)
    return logit, truth


def clicks(world: World, visits: Visits, truth: Floats) -> Bools:
    """Decide which shown items are clicked, shape (N, LIST_LENGTH)."""
    slot = visits.list_key[:, None] * LIST_LENGTH + np.arange(LIST_LENGTH)
    return (uniform(world.cfg.seed, "click", slot) < truth) & visits.shown
