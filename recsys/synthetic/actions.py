"""What people do: clicks on lists, product pages reached by browsing, carts, orders, refunds and orders again."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from recsys.synthetic import items as item_facts
from recsys.synthetic.choices import AGAIN, REFUND, cart_probability, click_logit, order_probability
from recsys.synthetic.hashing import Bools, Floats, Ints, below, mix, normal, pick, splitmix, uniform, unit
from recsys.synthetic.policy import power_law_draw
from recsys.synthetic.users import FAVORITE_WEIGHTS
from recsys.synthetic.visits import DAY_MS, Visits, click_probabilities, clicks
from recsys.synthetic.world import World

EVENTS = ("click", "page_view", "add_to_cart", "order", "refund")
CLICK, PAGE_VIEW, CART, ORDER, REFUNDED = range(5)

STEPS_LIMIT = 4_096
"""Actions of a session stay below this; part of the event keys."""

_REFUND_BIT = np.int64(1 << 61)
_AGAIN_BITS = 57
_MOST_AGAIN = 15
"""Orders of one item that follow from one order: what fits between the bits of the keys."""
_BROWSE_CUMULATIVE = np.array([0.45, 0.80, 1.0])
_BROWSE_CHOICES = 5
_BROWSE_LOYAL = 0.85


@dataclass(frozen=True, eq=False)
class Actions:
    """User actions, arrays of shape (n,); a session's rows are in the order in which they happened."""

    key: Ints
    """Unique over the whole log."""
    kind: Ints
    """Index into ``EVENTS``."""
    ts_ms: Ints
    """Milliseconds since 1970 (UTC)."""
    user: Ints
    """Row in the block's users."""
    session: Ints
    """Row in the block's sessions."""
    step: Ints
    """Step within the session, from 1; 0 outside of one, for refunds and orders again."""
    item: Ints
    """Item index."""
    price: Floats
    """EUR per unit."""
    quantity: Ints
    """At least 1; 0 if the action has none."""
    list_key: Ints
    """The list that was clicked; -1 if there is none."""
    position: Ints
    """Position in that list, from 1; 0 if there is none."""

    def take(self, rows: Ints | Bools) -> Actions:
        """Return the actions of some rows."""
        return Actions(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, eq=False)
class _Pages:
    """Product pages opened: the head of each funnel. Arrays of shape (n,)."""

    key: Ints
    kind: Ints
    ts_ms: Ints
    session: Ints
    item: Ints
    price: Floats
    logit: Floats
    list_key: Ints
    position: Ints


Rows = TypeVar("Rows", Actions, _Pages)


def make_actions(world: World, visits: Visits) -> Actions:
    """Return every action of a block's sessions, including refunds and orders again that fall within the log."""
    logit, truth = click_probabilities(world, visits)
    clicked = _clicked_pages(world, visits, logit, clicks(world, visits, truth))
    browsed = _browsed_pages(world, visits)
    return _ordered(world, visits, _joined(clicked, browsed))


def _joined(first: Rows, second: Rows) -> Rows:
    """Concatenate two groups of arrays."""
    pairs = {f.name: (getattr(first, f.name), getattr(second, f.name)) for f in fields(first)}
    return type(first)(**{name: np.concatenate(pair) for name, pair in pairs.items()})


def _clicked_pages(world: World, visits: Visits, logit: Floats, hit: Bools) -> _Pages:
    """Return the pages opened by clicking a list."""
    row, column = np.nonzero(hit)
    category, local = visits.slate.category[row, column], visits.slate.local[row, column]
    item = world.starts[category] + local
    key = visits.list_key[row] * 16 + column
    bot = visits.who.is_bot[visits.list_user[row]]
    pause = np.where(bot, 300, 2_500) * (1 + column) + below(mix(world.cfg.seed, "pause", key), 2_000)
    listed = item_facts.describe(world, category, local).list_price
    return _Pages(
        key=key,
        kind=np.full(len(row), CLICK),
        ts_ms=visits.shown_ms[row] + pause,
        session=visits.list_session[row],
        item=item,
        price=item_facts.price_on(world, item, listed, visits.day),
        logit=np.where(bot, -9.0, logit[row, column]),
        list_key=visits.list_key[row],
        position=column + 1,
    )


def _browsed_pages(world: World, visits: Visits) -> _Pages:
    """Return the pages people find by themselves: the one they like best of a few items of a category they like."""
    seed = world.cfg.seed
    count = pick(uniform(seed, "browse", visits.list_key), _BROWSE_CUMULATIVE)
    count = np.where(visits.who.is_slow[visits.list_user], 0, count)
    row = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    key = visits.list_key[row] * 16 + 12 + nth
    user_row = visits.list_user[row]
    place = pick(uniform(seed, "browse-place", key), np.cumsum(FAVORITE_WEIGHTS))
    other = pick(uniform(seed, "browse-other", key), world.shares_cumulative[visits.day])
    loyal = uniform(seed, "browse-loyal", key) < _BROWSE_LOYAL
    category = np.where(loyal, visits.who.favorites[user_row, place], other)[:, None]
    option = key[:, None] * 8 + np.arange(_BROWSE_CHOICES)
    draws = uniform(seed, "browse-item", option)
    local = power_law_draw(draws, np.zeros_like(category), world.base[category], world.cfg.zipf)
    category = np.broadcast_to(category, local.shape)
    days = np.full(len(row), visits.day, dtype=np.int64)
    logit = click_logit(world, visits.who, user_row, category, local, days)
    best = np.argmax(logit + 0.5 * normal(seed, "browse-taste", option), axis=1)
    chosen = (np.arange(len(row)), best)
    item = world.starts[category[chosen]] + local[chosen]
    listed = item_facts.describe(world, category[chosen], local[chosen]).list_price
    bot = visits.who.is_bot[user_row]
    pause = np.where(bot, 3_500 + 200 * nth, 40_000 + 9_000 * nth) + below(mix(seed, "pause", key), 400)
    return _Pages(
        key=key,
        kind=np.full(len(row), PAGE_VIEW),
        ts_ms=visits.shown_ms[row] + pause,
        session=visits.list_session[row],
        item=item,
        price=item_facts.price_on(world, item, listed, days),
        logit=np.where(bot, -9.0, logit[chosen]),
        list_key=np.full(len(row), -1),
        position=np.zeros(len(row), dtype=np.int64),
    )


def _ordered(world: World, visits: Visits, pages: _Pages) -> Actions:
    """Add carts and orders to the pages, number the steps of each session, add what follows from orders."""
    seed = world.cfg.seed
    user = visits.session_user[pages.session]
    words = mix(seed, "cart", pages.key)
    cart = np.flatnonzero((unit(words) < cart_probability(pages.logit)) & ~visits.who.is_slow[user])
    bought = uniform(seed, "order", pages.key[cart]) < order_probability(visits.who.thrift[user[cart]])
    order = cart[bought]
    head = np.concatenate([np.arange(len(user)), cart, order])
    kind = np.concatenate([pages.kind, np.full(len(cart), CART), np.full(len(order), ORDER)])
    hesitation = [8_000 + below(words[head], 20_000), 45_000 + below(words[head], 90_000)]
    wait = np.select([kind == CART, kind == ORDER], hesitation, 0)
    many = 1 + (below(splitmix(words[head]), 10) >= 8) + (below(splitmix(words[head]), 40) >= 38)
    ts_ms = pages.ts_ms[head] + wait
    session = pages.session[head]
    sort = np.lexsort((kind, pages.key[head], ts_ms, visits.session_key[session]))
    head, kind, ts_ms, session = head[sort], kind[sort], ts_ms[sort], session[sort]
    first = np.flatnonzero(np.diff(session, prepend=-1))
    step = np.arange(len(session)) - np.repeat(first, np.diff(first, append=len(session))) + 1
    actions = Actions(
        key=visits.session_key[session] * STEPS_LIMIT + step,
        kind=kind,
        ts_ms=ts_ms,
        user=visits.session_user[session],
        session=session,
        step=step,
        item=pages.item[head],
        price=pages.price[head],
        quantity=np.where(kind >= CART, many[sort], 0),
        list_key=pages.list_key[head],
        position=pages.position[head],
    )
    orders = actions.take((actions.kind == ORDER) & ~visits.who.anonymous[actions.user])
    return _joined(_joined(actions, _refunds(world, orders)), _again(world, visits, orders))


def _refunds(world: World, orders: Actions) -> Actions:
    """Return the refunds of known users' orders, 1 to 14 days later, that fall within the log."""
    words = mix(world.cfg.seed, "refund", orders.key)
    ts_ms = orders.ts_ms + DAY_MS + below(splitmix(words), 13 * DAY_MS)
    sent_back = (unit(words) < REFUND) & (ts_ms < world.cfg.start_ms + world.cfg.days * DAY_MS)
    back = _outside(orders, orders.key | _REFUND_BIT, REFUNDED, ts_ms)
    return back.take(sent_back)


def _again(world: World, visits: Visits, orders: Actions) -> Actions:
    """Return the orders by which people replace what they have used up, about a cycle apart, that fall within the log.

    An item is a consumable with the probability `repeat_share`, and has a cycle of its own.
    """
    seed, end = world.cfg.seed, world.cfg.start_ms + world.cfg.days * DAY_MS
    used_up = uniform(seed, "consumable", orders.item) < world.cfg.repeat_share
    last = orders.take(used_up & ~visits.who.is_bot[orders.user])
    cycle = DAY_MS * (7 + below(mix(seed, "cycle", last.item), 15))
    first, made = last.key, orders.take(np.zeros(0, dtype=np.int64))
    for nth in range(1, _MOST_AGAIN + 1):
        words = mix(seed, "again", first, np.array(nth))
        ts_ms = last.ts_ms + (cycle * (0.75 + 0.5 * unit(splitmix(words)))).astype(np.int64)
        goes_on = (unit(words) < AGAIN) & (ts_ms < end)
        if not goes_on.any():
            break
        last = _outside(last, first | (np.int64(nth) << _AGAIN_BITS), ORDER, ts_ms).take(goes_on)
        first, cycle = first[goes_on], cycle[goes_on]
        made = _joined(made, last)
    return made


def _outside(orders: Actions, key: Ints, kind: int, ts_ms: Ints) -> Actions:
    """Return actions that follow from orders, outside of any session."""
    return replace(
        orders,
        key=key,
        kind=np.full(len(key), kind),
        ts_ms=ts_ms,
        step=np.zeros(len(key), dtype=np.int64),
        list_key=np.full(len(key), -1),
        position=np.zeros(len(key), dtype=np.int64),
    )
