"""The fixed part of a shop: categories, calendar effects and how item indices are laid out.

Item indices are grouped by category. Within a category the first ``base`` items are sold from the first day,
most exposed first, and the rest ("cold" items) are added one after another while the log runs. Every table
here has at most days x categories entries, so each worker builds its own from the config.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recsys.synthetic.config import LIST_LENGTH, MIN_ITEMS_PER_CATEGORY, ShopConfig
from recsys.synthetic.hashing import Floats, Ints, uniform

CATEGORIES: tuple[tuple[str, str, float], ...] = (
    ("fashion/women", "Dress", 39.0),
    ("home/kitchen", "Pan", 29.0),
    ("electronics/audio", "Headphones", 79.0),
    ("fashion/men", "Shirt", 34.0),
    ("beauty/skin-care", "Cream", 19.0),
    ("books/fiction", "Novel", 12.0),
    ("sports/running", "Shoes", 89.0),
    ("home/decor", "Vase", 24.0),
    ("toys/games", "Board Game", 27.0),
    ("electronics/phones", "Phone Case", 18.0),
    ("fashion/accessories", "Scarf", 22.0),
    ("garden/plants", "Planter", 16.0),
    ("home/bedding", "Duvet Set", 55.0),
    ("sports/outdoor", "Backpack", 69.0),
    ("beauty/fragrance", "Perfume", 59.0),
    ("books/cooking", "Cookbook", 23.0),
    ("electronics/wearables", "Watch", 149.0),
    ("toys/baby", "Rattle", 11.0),
    ("garden/tools", "Trowel", 14.0),
    ("home/lighting", "Lamp", 45.0),
    ("sports/fitness", "Kettlebell", 36.0),
    ("pets/dogs", "Dog Bed", 42.0),
    ("books/travel", "Travel Guide", 17.0),
    ("pets/cats", "Scratching Post", 33.0),
)
"""Category path, the noun in its titles, and its median price in EUR."""

HEAD = 3.0
"""How flat the head of a category is: exposure falls like ``1 / (place + HEAD)``."""

_SEASON_AMPLITUDE = 0.45
_WEEKDAY = np.array([0.92, 0.90, 0.93, 0.97, 1.05, 1.16, 1.07])


@dataclass(frozen=True, eq=False)
class World:
    """Lookup tables of one shop; C is the number of categories."""

    cfg: ShopConfig
    sizes: Ints
    """Items per category, shape (C,)."""
    base: Ints
    """Items per category on sale from the first day, shape (C,)."""
    strata: Ints
    """First place of each stratum of ``base`` and its end, shape (C, LIST_LENGTH + 1)."""
    starts: Ints
    """First item index of each category and the total, shape (C + 1,)."""
    arrived: Ints
    """Cold items on sale by day and category, shape (days, C)."""
    season: Floats
    """Log of the seasonal demand by day and category, shape (days, C)."""
    shares: Floats
    """Probability of a category on the home page, shape (days, C); rows sum to 1."""
    weekday: Floats
    """Factor on visits by day, mean about 1, shape (days,)."""

    @property
    def shares_cumulative(self) -> Floats:
        """Running sums of ``shares`` over categories, shape (days, C)."""
        return np.cumsum(self.shares, axis=1)

    def arrival_day(self, category: Ints, local: Ints) -> Ints:
        """Day on which an item is added, -1 for those on sale from the first day."""
        order = local - self.base[category]
        cold = np.maximum(self.sizes[category] - self.base[category], 1)
        day = ((order + 1) * self.cfg.days) // (cold + 1)
        return np.where(order < 0, -1, day)

    def locate(self, item: Ints) -> tuple[Ints, Ints]:
        """Return the category of each item index and its place within it."""
        category = np.searchsorted(self.starts, item, side="right").astype(np.int64) - 1
        return category, item - self.starts[category]


def _split_items(cfg: ShopConfig) -> Ints:
    """Divide the items among categories: bigger ones first, none below the minimum; sums to ``n_items``."""
    weights = np.arange(1, cfg.n_categories + 1, dtype=np.float64) ** -0.6
    free = cfg.n_items - MIN_ITEMS_PER_CATEGORY * cfg.n_categories
    sizes = MIN_ITEMS_PER_CATEGORY + np.floor(free * weights / weights.sum()).astype(np.int64)
    sizes[0] += cfg.n_items - sizes.sum()
    return np.asarray(sizes, dtype=np.int64)


def _strata(base: Ints) -> Ints:
    """Cut each category's base into strata of growing size, so that exposure falls like 1 / place."""
    cut = np.arange(LIST_LENGTH + 1)
    growth = (base[:, None] / HEAD + 1.0) ** (cut / LIST_LENGTH)
    edges = np.maximum(np.round(HEAD * (growth - 1.0)).astype(np.int64), cut)
    return np.minimum(edges, base[:, None] - (LIST_LENGTH - cut))


def _arrivals(cfg: ShopConfig, cold: Ints) -> Ints:
    """Count cold items on sale by day and category, shape (days, C)."""
    days = np.arange(cfg.days, dtype=np.int64)[:, None]
    # Item k (from 0) arrives on day (k + 1) * days // (cold + 1), see World.arrival_day, so it is on sale
    # once (k + 1) * days < (day + 1) * (cold + 1).
    count = -((-(days + 1) * (cold + 1)) // cfg.days) - 1
    return np.clip(count, 0, cold)


@lru_cache(maxsize=4)
def build_world(cfg: ShopConfig) -> World:
    """Compute the tables of a shop from its config."""
    sizes = _split_items(cfg)
    cold = np.minimum(np.floor(sizes * cfg.cold_item_share).astype(np.int64), sizes - LIST_LENGTH)
    which = np.arange(cfg.n_categories, dtype=np.int64)
    day = np.arange(cfg.days)
    year_day = (cfg.start.timetuple().tm_yday + day)[:, None] / 365.25
    season = _SEASON_AMPLITUDE * np.sin(2 * np.pi * (year_day + uniform(cfg.seed, "season", which)))
    demand = np.arange(1, cfg.n_categories + 1, dtype=np.float64) ** -0.8 * np.exp(season)
    return World(
        cfg=cfg,
        sizes=sizes,
        base=sizes - cold,
        strata=_strata(sizes - cold),
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        arrived=_arrivals(cfg, cold),
        season=season,
        shares=demand / demand.sum(axis=1, keepdims=True),
        weekday=_WEEKDAY[(cfg.start.weekday() + day) % 7],
    )
