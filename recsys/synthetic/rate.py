"""How often people must visit for the log to reach its target size."""

from __future__ import annotations

import numpy as np

from recsys.synthetic import users as people
from recsys.synthetic.actions import make_actions
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.hashing import Floats, Ints
from recsys.synthetic.visits import BLOCK, make_visits
from recsys.synthetic.world import World, build_world

_SURVEYED_USERS = 200_000
_PILOT_DAYS = 12
_MARGIN = 1.015
_HIGHEST_RATE = 12.0


def session_rate(cfg: ShopConfig) -> float:
    """Return the sessions per day of a user with activity 1 that give about ``cfg.n_events`` actions.

    Looks at no more than 200,000 users and a few blocks of visits, whatever the size of the shop, and depends
    on the config alone. Aims 1.5% above the target, so that a large log does not fall short of it.
    """
    world = build_world(cfg)
    target = cfg.n_events * _MARGIN * (1.0 - (cfg.bot_event_share if cfg.n_fast_bots else 0.0))
    survey = _Survey(world)
    rate = survey.rate_for(target / 5.0)
    return survey.rate_for(target / _actions_per_session(world, rate))


class _Survey:
    """Expected number of people's sessions as a function of the rate."""

    def __init__(self, world: World) -> None:
        cfg = world.cfg
        people_count = cfg.n_users - cfg.n_bots
        surveyed = _spread(cfg.n_bots, people_count, _SURVEYED_USERS)
        who = people.describe(world, surveyed)
        days = np.concatenate([[0.0], np.cumsum(world.weekday)])
        first = np.clip(who.first_day, 0, cfg.days)
        last = np.clip(who.last_day + 1, first, cfg.days)
        self._weight = people_count / len(surveyed)
        self._exposure: Floats = who.activity * (days[last] - days[first])
        arrives = who.first_day >= 0
        self._first_visit: Floats = (who.activity * world.weekday[np.minimum(first, cfg.days - 1)])[arrives]

    def sessions(self, rate: float) -> float:
        """Expected sessions over the log; users who arrive within it visit at least once on their first day."""
        forced = np.exp(-rate * self._first_visit).sum()
        return float(self._weight * (rate * self._exposure.sum() + forced))

    def rate_for(self, sessions: float) -> float:
        """Invert ``sessions`` by bisection."""
        low, high = 0.0, _HIGHEST_RATE
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.sessions(middle) < sessions else (low, middle)
        return high


def _spread(first: int, count: int, limit: int) -> Ints:
    """Return up to ``limit`` indices spread evenly over [first, first + count)."""
    kept = min(count, limit)
    return first + (np.arange(kept, dtype=np.int64) * count) // kept


def _actions_per_session(world: World, rate: float) -> float:
    """Measure actions per session of people on a few days."""
    cfg = world.cfg
    surveyed = _spread(cfg.n_bots, cfg.n_users - cfg.n_bots, BLOCK)
    actions = sessions = 0
    for day in _spread(0, cfg.days, _PILOT_DAYS):
        visits = make_visits(world, int(day), surveyed, rate=rate)
        actions += len(make_actions(world, visits).key)
        sessions += len(visits.session_key)
    return actions / max(sessions, 1) if actions else 5.0
