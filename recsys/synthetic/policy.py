"""The logging policy: which items a list shows, and the exact probability of each at its position.

The items of a category are cut into ``LIST_LENGTH`` strata by their place, with smaller strata for the most popular
places. A list rotates the strata over its positions by a uniform shift, and each position draws one item of its
stratum, so that a list never repeats an item and the probability of an item at a position has a closed form:

``P(item at position) = 1/10 * P(category on the page) * P(item | its stratum)``

Within a stratum the popular policy mixes a power law over the places (popular), the same law rotated weekly
(trending) and a uniform draw over the items added so far (arrivals, dealt to the strata in turn); the
exploring policy draws uniformly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.synthetic.config import LIST_LENGTH
from recsys.synthetic.hashing import Bits, Bools, Floats, Ints, below, mix, pick, uniform, unit
from recsys.synthetic.world import HEAD, World

POLICIES = ("popular-v2", "explore-v1")
HOME = -1
"""Page code of the home page; any other page code is a category."""


@dataclass(frozen=True, eq=False)
class Slate:
    """Shown lists, arrays of shape (lists, LIST_LENGTH)."""

    category: Ints
    local: Ints
    """Place of the item within its category."""
    propensity: Floats
    """Probability of this item at this position given the page and the day, in (0, 1]."""
    explored: Bools
    """Whether the exploring policy made the list, shape (lists,)."""


def power_law_draw(draws: Floats, low: Ints, high: Ints, exponent: float) -> Ints:
    """Draw a place in [low, high) with probability falling as ``(place + HEAD) ** -exponent``."""
    tail = 1.0 - exponent
    first, last = (low + HEAD) ** tail, (high + HEAD) ** tail
    place = np.floor((first + draws * (last - first)) ** (1.0 / tail) - HEAD).astype(np.int64)
    return np.asarray(np.clip(place, low, high - 1), dtype=np.int64)


def power_law_probability(place: Ints, low: Ints, high: Ints, exponent: float) -> Floats:
    """Return the probability that ``power_law_draw`` returns ``place``; sums to 1 over [low, high)."""
    tail = 1.0 - exponent
    total = (low + HEAD) ** tail - (high + HEAD) ** tail
    mass: Floats = ((place + HEAD) ** tail - (place + HEAD + 1.0) ** tail) / total
    return mass


def draw_slates(world: World, list_key: Ints, page: Ints, day: Ints) -> Slate:
    """Fill one list per key.

    Parameters
    ----------
    list_key
        Unique integers, shape (n,).
    page
        ``HOME`` or a category, shape (n,).
    day
        Day of the log, shape (n,).
    """
    cfg = world.cfg
    explored = uniform(cfg.seed, "explore", list_key) < cfg.explore_share
    position = np.arange(LIST_LENGTH, dtype=np.int64)
    shift = below(mix(cfg.seed, "shift", list_key), LIST_LENGTH)
    stratum = (position + shift[:, None]) % LIST_LENGTH
    slot_key = list_key[:, None] * LIST_LENGTH + position
    home = np.flatnonzero(page == HOME)
    category = np.repeat(np.where(page == HOME, 0, page)[:, None], LIST_LENGTH, axis=1)
    category[home] = pick(
        uniform(cfg.seed, "slot-category", slot_key[home]), world.shares_cumulative[day[home]][:, None, :]
    )
    days = np.repeat(day[:, None], LIST_LENGTH, axis=1)
    words = mix(cfg.seed, "slot", slot_key)
    local = _draw_local(world, words, category, stratum, days, explored[:, None])
    given = _probability(world, local, category, stratum, days, explored[:, None])
    on_page = np.where((page == HOME)[:, None], world.shares[days, category], 1.0)
    return Slate(category, local, on_page * given / LIST_LENGTH, explored)


@dataclass(frozen=True, eq=False)
class _Strata:
    """The stratum of each slot: its places among the base, cold items on sale, and the week's rotation."""

    low: Ints
    high: Ints
    cold: Ints
    rotation: Ints

    @property
    def size(self) -> Ints:
        """Base items in the stratum."""
        return self.high - self.low


def _look_up(world: World, category: Ints, stratum: Ints, day: Ints) -> _Strata:
    """Return the strata on a day; cold item ``k`` of a category belongs to stratum ``k % LIST_LENGTH``."""
    low, high = world.strata[category, stratum], world.strata[category, stratum + 1]
    cold = (world.arrived[day, category] - stratum + LIST_LENGTH - 1) // LIST_LENGTH
    rotation = below(mix(world.cfg.seed, "rotation", category, day // 7), 2**31 - 1) % (high - low)
    return _Strata(low, high, cold, rotation)


def _draw_local(world: World, words: Bits, category: Ints, stratum: Ints, day: Ints, explored: Bools) -> Ints:
    """Draw one item of each stratum; returns places within the category."""
    cfg = world.cfg
    these = _look_up(world, category, stratum, day)
    coin = unit(mix(cfg.seed, "component", words.view(np.int64)))
    draws = unit(words)
    popular = power_law_draw(draws, these.low, these.high, cfg.zipf)
    trending = these.low + (popular - these.low + these.rotation) % these.size
    known = np.where(coin < cfg.trend_share, trending, popular)
    fresh = np.minimum((draws * these.cold).astype(np.int64), np.maximum(these.cold - 1, 0))
    total = these.size + these.cold
    anything = np.minimum((draws * total).astype(np.int64), total - 1)
    is_fresh = (coin >= 1.0 - cfg.arrivals_share) & (these.cold > 0)
    is_cold = np.where(explored, anything >= these.size, is_fresh)
    cold_turn = np.where(explored, anything - these.size, fresh)
    base_place = np.where(explored, these.low + anything, known)
    cold_place = world.base[category] + cold_turn * LIST_LENGTH + stratum
    return np.where(is_cold, cold_place, base_place)


def _probability(world: World, local: Ints, category: Ints, stratum: Ints, day: Ints, explored: Bools) -> Floats:
    """Return the probability that ``_draw_local`` gives ``local`` for these strata."""
    cfg = world.cfg
    these = _look_up(world, category, stratum, day)
    is_cold = local >= world.base[category]
    place = np.where(is_cold, these.low, local)
    before = these.low + (place - these.low - these.rotation) % these.size
    arrivals = np.where(these.cold > 0, cfg.arrivals_share, 0.0)
    popular = power_law_probability(place, these.low, these.high, cfg.zipf)
    trending = power_law_probability(before, these.low, these.high, cfg.zipf)
    known = (1.0 - cfg.trend_share - arrivals) * popular + cfg.trend_share * trending
    mixed = np.where(is_cold, arrivals / np.maximum(these.cold, 1), known)
    return np.where(explored, 1.0 / (these.size + these.cold), mixed)
