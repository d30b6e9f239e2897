"""Who visits: taste, budget, activity, first and last day, each a function of the user's index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.synthetic.config import ShopConfig
from recsys.synthetic.hashing import (
    Bools,
    Floats,
    Ints,
    below,
    fields,
    mix,
    normal,
    pick,
    splitmix,
    uniform,
    unit,
)
from recsys.synthetic.world import World

COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE")
SEGMENTS = ("budget", "standard", "premium")
DEVICES = ("mobile", "desktop", "app", "tablet")

FAVORITE_WEIGHTS = np.array([0.55, 0.30, 0.15])
"""How a user's visits are split over the first, second and third favorite category."""

MEAN_HUMAN_ACTIVITY = float(np.exp(0.9**2 / 2))
_COUNTRY_CUMULATIVE = np.cumsum([0.27, 0.19, 0.16, 0.11, 0.09, 0.08, 0.06, 0.04])
_COHORT_SHARE = 0.4
_CHURN_SHARE = 0.08
_AGE_BANDS = 6
_UID_FACTOR = 2654435761 * 2 + 1


@dataclass(frozen=True, eq=False)
class Users:
    """Attributes of users; every array has the shape of the requested indices."""

    is_bot: Bools
    is_slow: Bools
    """Bots that click about once a minute."""
    anonymous: Bools
    activity: Floats
    """Factor on the number of sessions; mean ``MEAN_HUMAN_ACTIVITY`` over people."""
    first_day: Ints
    """Day of the first possible visit; negative when before the log."""
    last_day: Ints
    """Last day with visits, possibly beyond the log."""
    favorites: Ints
    """Categories by preference, shape (..., 3); may repeat."""
    vector: Floats
    """Latent taste, shape (..., DIMENSIONS)."""
    thrift: Floats
    """Price sensitivity: how much the click logit falls per unit of log price."""
    country: Ints
    birth_year: Ints
    device: Ints
    """The device the user prefers."""


def describe(world: World, user: Ints) -> Users:
    """Return the attributes of users given by index, shape (n,)."""
    cfg = world.cfg
    seed = cfg.seed
    is_bot = user < cfg.n_bots
    country = pick(uniform(seed, "country", user), _COUNTRY_CUMULATIVE)
    birth_year = 1945 + below(mix(seed, "birth", user), 60)
    first_day, last_day = _lifetime(cfg, user, is_bot)
    activity = np.exp(0.9 * normal(seed, "activity", user))
    return Users(
        is_bot=is_bot,
        is_slow=is_bot & (user >= cfg.n_fast_bots),
        anonymous=(uniform(seed, "anonymous", user) < cfg.anonymous_share) & ~is_bot,
        activity=np.where(is_bot, _bot_activity(cfg), activity),
        first_day=first_day,
        last_day=last_day,
        favorites=_favorites(world, user, country * _AGE_BANDS + (birth_year - 1945) // 10),
        vector=fields(mix(seed, "user-taste", user)),
        thrift=0.5 + 0.55 * normal(seed, "thrift", user),
        country=country,
        birth_year=birth_year,
        device=pick(uniform(seed, "device", user), np.array([0.45, 0.78, 0.95, 1.0])),
    )


def _bot_activity(cfg: ShopConfig) -> float:
    """Return the activity that gives bots their share; a bot session is about 30 people's sessions."""
    if not cfg.n_fast_bots:
        return 0.0
    return cfg.bot_event_share * cfg.n_users * MEAN_HUMAN_ACTIVITY / (30.0 * cfg.n_fast_bots)


def _lifetime(cfg: ShopConfig, user: Ints, is_bot: Bools) -> tuple[Ints, Ints]:
    """Return the first and last day on which each user may visit."""
    words = mix(cfg.seed, "lifetime", user)
    draw = unit(words)
    day = below(splitmix(words), max(1, cfg.days - cfg.cold_days))
    cold_day = cfg.days - cfg.cold_days + below(splitmix(words), cfg.cold_days)
    cold = (draw < cfg.cold_user_share) & ~is_bot
    new = (draw < cfg.cold_user_share + cfg.new_user_share) & ~cold & ~is_bot
    before = -1 - below(splitmix(words), 700)
    first = np.where(cold, cold_day, np.where(new, day, before))
    churned = (unit(mix(cfg.seed, "churn", user)) < _CHURN_SHARE) & ~cold & ~is_bot
    last = np.where(churned, np.maximum(first, 0) + 1 + day, cfg.days + 1)
    return first.astype(np.int64), last.astype(np.int64)


def _favorites(world: World, user: Ints, cohort: Ints) -> Ints:
    """Draw three favorite categories; for some users the first follows the cohort (country, age)."""
    seed = world.cfg.seed
    shares = np.cumsum(np.arange(1, world.cfg.n_categories + 1, dtype=np.float64) ** -0.5)
    shares = shares / shares[-1]
    rank = np.arange(3, dtype=np.int64)
    own = pick(uniform(seed, "favourite", user[:, None], rank), shares)
    typical = pick(uniform(seed, "cohort", cohort), shares)
    own[:, 0] = np.where(uniform(seed, "conform", user) < _COHORT_SHARE, typical, own[:, 0])
    return own


def uid_number(world: World, user: Ints) -> Ints:
    """Return the number in the public id, in [0, 2**40): a bijection of the index."""
    offset = int(mix(world.cfg.seed, "uid")) % 2**31
    factor = np.uint64(_UID_FACTOR)
    scrambled = (user.astype(np.uint64) * factor + np.uint64(offset)) & np.uint64(2**40 - 1)
    return scrambled.astype(np.int64)


def user_index(world: World, number: Ints) -> Ints:
    """Return the index behind the number in a public id, in [0, 2**40): the inverse of `uid_number`."""
    offset = int(mix(world.cfg.seed, "uid")) % 2**31
    inverse = np.uint64(pow(_UID_FACTOR, -1, 2**40))
    index = (number.astype(np.uint64) - np.uint64(offset)) * inverse & np.uint64(2**40 - 1)
    return index.astype(np.int64)


def segment_of(thrift: Floats) -> Ints:
    """Return the index into ``SEGMENTS`` for a price sensitivity."""
    return np.where(thrift > 0.8, 0, np.where(thrift > 0.1, 1, 2)).astype(np.int64)
