"""What an item is: brand, price, appeal over time and a latent vector, each a function of its index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.synthetic.hashing import Bits, Floats, Ints, below, fields, mix, normal, splitmix, uniform
from recsys.synthetic.world import CATEGORIES, World

BRANDS: tuple[str, ...] = (
    "Alder", "Bexley", "Corvo", "Dunmore", "Elmhurst", "Fenwick", "Galloway", "Hartman", "Isola", "Juniper",
    "Kestrel", "Lomond", "Marlowe", "Norrland", "Orsini", "Pemberton", "Quill", "Ravello", "Sorrel", "Tamsin",
    "Umbra", "Velden", "Wexford", "Yarrow",
)  # fmt: skip
"""Brands; each sells in the categories that a hash gives it, and has the same latent direction in all of them."""

COLORS = ("Blue", "Red", "Green", "Black", "White", "Grey", "Amber", "Teal", "Ivory", "Rose", "Olive")
MATERIALS = ("Wool", "Linen", "Oak", "Steel", "Cotton", "Cork", "Glass", "Bamboo", "Felt", "Copper", "Silk")

BRANDS_PER_CATEGORY = 6
DIMENSIONS = 4
"""Length of the latent vectors."""

_BRAND_WEIGHT = 0.8
_OWN_WEIGHT = 0.6
_PROMOTED = 0.08
_DISCOUNT = 0.8
_SKU_FACTOR = 2654435761


@dataclass(frozen=True, eq=False)
class Items:
    """Attributes of items; every array has the shape of the requested indices."""

    brand: Ints
    """Index into ``BRANDS``."""
    log_price: Floats
    """Log of list price over the category's median."""
    list_price: Floats
    """EUR, two decimals."""
    appeal: Floats
    """The part of the click logit that is constant over time and common to all users."""
    vector: Floats
    """Latent vector, shape (..., DIMENSIONS); each entry has variance about 1."""


def describe(world: World, category: Ints, local: Ints) -> Items:
    """Return the attributes of items given by category and place within it."""
    seed = world.cfg.seed
    item = world.starts[category] + local
    slot = below(mix(seed, "item-brand-slot", item), BRANDS_PER_CATEGORY)
    brand = below(mix(seed, "category-brand", category * BRANDS_PER_CATEGORY + slot), len(BRANDS))
    log_price = 0.5 * normal(seed, "item-price", item) + 0.25 * (uniform(seed, "brand-price", brand) - 0.5)
    median = np.array([price for _, _, price in CATEGORIES])[category]
    fame = 0.5 - np.log1p(local) / np.log1p(world.sizes[category])
    vector = _BRAND_WEIGHT * fields(mix(seed, "brand-taste", brand)) + _OWN_WEIGHT * fields(
        mix(seed, "item-taste", item)
    )
    return Items(
        brand=brand,
        log_price=log_price,
        list_price=np.maximum(np.round(median * np.exp(log_price), 2), 0.5),
        appeal=1.5 * fame + 0.35 * normal(seed, "item-appeal", item),
        vector=vector,
    )


def trend(world: World, item: Ints, day: Ints) -> Floats:
    """Return the part of the logit by which an item rises and falls over time, within about +-1."""
    words = mix(world.cfg.seed, "item-trend", item)
    period = 30.0 + 60.0 * uniform(world.cfg.seed, "item-period", item)
    phase = fields(words)
    wave: Floats = 0.35 * phase[..., 0] * np.sin(2 * np.pi * day / period + 2.0 * phase[..., 1])
    return wave


def price_on(world: World, item: Ints, list_price: Floats, day: Ints | int) -> Floats:
    """Return the price of an item on a day, in EUR: the list price, or less in weeks in which it is promoted."""
    promoted = uniform(world.cfg.seed, "promotion", item, np.asarray(day // 7, dtype=np.int64)) < _PROMOTED
    return np.where(promoted, np.maximum(np.round(list_price * _DISCOUNT, 2), 0.4), list_price)


def sku_number(world: World, item: Ints) -> Ints:
    """Return the number in the public id, in [0, 2**32): a bijection of the index."""
    offset = int(mix(world.cfg.seed, "sku"))
    return np.asarray((item * _SKU_FACTOR + offset % 2**31) % 2**32, dtype=np.int64)


def item_index(world: World, number: Ints) -> Ints:
    """Return the index behind the number in a public id, in [0, 2**32): the inverse of `sku_number`."""
    offset = int(mix(world.cfg.seed, "sku")) % 2**31
    inverse = np.uint64(pow(_SKU_FACTOR, -1, 2**32))
    index = (number.astype(np.uint64) - np.uint64(offset)) * inverse & np.uint64(2**32 - 1)
    return index.astype(np.int64)


def words_of(world: World, item: Ints) -> tuple[Ints, Ints, Bits]:
    """Return the indices of the color and material in an item's title, and spare bits for its punctuation."""
    words = mix(world.cfg.seed, "title", item)
    return below(words, len(COLORS)), below(splitmix(words), len(MATERIALS)), words
