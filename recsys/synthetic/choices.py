"""How people decide: the true probabilities of clicking, adding to the cart, buying and returning."""

from __future__ import annotations

import numpy as np

from recsys.synthetic import items as item_facts
from recsys.synthetic.config import LIST_LENGTH
from recsys.synthetic.hashing import Floats, Ints
from recsys.synthetic.users import Users
from recsys.synthetic.world import World

POSITION_BIAS: Floats = np.arange(1, LIST_LENGTH + 1, dtype=np.float64) ** -0.35
"""Chance that a position is looked at, relative to the first; 1 down to about 0.45."""

BOT_CLICK = 0.35
"""Click probability of a bot at any position."""

REFUND = 0.08
"""Probability that an order of a known user is sent back."""

AGAIN = 0.85
"""Probability that a consumable is ordered once more."""

_BASE = -2.35
_LATENT = 0.62
_FAVORITE = np.array([0.9, 0.6, 0.3])


def click_logit(world: World, who: Users, user_row: Ints, category: Ints, local: Ints, day: Ints) -> Floats:
    """Return the log-odds that a person who looks at an item clicks it.

    Parameters
    ----------
    who
        Users, arrays of shape (u,).
    user_row
        Row in ``who`` of each line of the arrays below, shape (n,).
    category, local
        Items, shape (n, m).
    day
        Day of the log, shape (n,).
    """
    facts = item_facts.describe(world, category, local)
    item = world.starts[category] + local
    days = day[:, None]
    latent = np.einsum("nmk,nk->nm", facts.vector, who.vector[user_row])
    price = item_facts.price_on(world, item, facts.list_price, days)
    dearer = facts.log_price + np.log(price / facts.list_price)
    logit: Floats = (
        _BASE
        + facts.appeal
        + item_facts.trend(world, item, days)
        + 0.5 * world.season[days, category]
        + _LATENT * latent
        + _favor(who.favorites[user_row], category)
        - who.thrift[user_row][:, None] * dearer
    )
    return logit


def _favor(favorites: Ints, category: Ints) -> Floats:
    """Return the bonus of a favorite category: that of its highest place among the three."""
    same = favorites[:, None, :] == category[:, :, None]
    bonus: Floats = np.max(np.where(same, _FAVORITE, 0.0), axis=-1)
    return bonus


def sigmoid(logit: Floats) -> Floats:
    """Return the logistic function, in (0, 1)."""
    odds: Floats = 1.0 / (1.0 + np.exp(-logit))
    return odds


def cart_probability(logit: Floats) -> Floats:
    """Return the chance that a viewed page leads to the cart; grows with the log-odds of a click."""
    return sigmoid(-0.75 + 0.35 * np.clip(logit, -4.0, 4.0))


def order_probability(thrift: Floats) -> Floats:
    """Return the chance that what is in the cart is bought; falls with the price sensitivity."""
    return sigmoid(0.35 - 0.4 * thrift)
