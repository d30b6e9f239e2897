"""The rules for robots: literal days, a brute-force oracle, and how well they find whom a shop has planted."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.data import EVENT_TYPES
from recsys.ingest.robot_rules import DAY, HOUR, MINUTE, Rows, verdicts
from recsys.ingest.robots import _cut
from recsys.ingest.settings import CleanSettings, RobotSettings
from recsys.synthetic import ShopConfig
from recsys.synthetic.actions import make_actions
from recsys.synthetic.rate import session_rate
from recsys.synthetic.visits import make_visits
from recsys.synthetic.world import build_world

pytestmark = pytest.mark.fast

Event = tuple[int, float, int, str, float | None]
"""User, seconds since 1970, item, type, value."""
SECOND = MINUTE // 60
LOW: dict[str, Any] = {"regular_gaps": 4, "items_per_hour": 3, "items_per_day": 5, "equal_ratings": 3}
MORE: dict[str, Any] = {"views_alone": 4, "rating_ends": (1, 5)}


def rows(events: list[Event], actions: list[int] | None = None) -> Rows:
    given = zip(events, actions or range(len(events)), strict=True)
    order = sorted(given, key=lambda pair: (pair[0][0], pair[0][1], pair[1]))
    users, times, items, kinds, values = zip(*(event for event, _ in order), strict=True)
    return Rows(
        user=np.array(users),
        time=np.array([round(time * SECOND) for time in times], dtype=np.int64),
        action=np.array([action for _, action in order]),
        item=np.array(items),
        kind=np.array([EVENT_TYPES.index(kind) for kind in kinds]),
        value=np.array([np.nan if value is None else value for value in values]),
    )


def judged(events: list[Event], actions: list[int] | None = None, *, rate: int = 99, **limits: Any) -> dict[int, Any]:
    """The first verdict of each user: the instant in seconds, the score, the rules."""
    settings = CleanSettings(
        bot_events_per_minute=rate, bot_events_per_hour=2 * rate, robots=RobotSettings(**{**LOW, **limits})
    )
    found: dict[int, Any] = {}
    for user, since, score, rules in verdicts(rows(events, actions), settings):
        if user not in found or since / SECOND < found[user][0]:
            found[user] = (since / SECOND, score, list(rules))
    return found


def views(user: int, seconds: list[float], *, item: int = 1) -> list[Event]:
    return [(user, time, item, "view", None) for time in seconds]


def test_rates_tell_at_the_end_of_the_clock_minute_and_hour() -> None:
    log = views(1, [50, 55, 59, 59.5]) + views(2, [0, 500, 1000, 1500, 2000, 2600, 3599]) + views(3, [58, 59, 60, 3601])
    assert judged(log, rate=3) == {1: (60, 1.0, ["events_per_minute"]), 2: (3600, 1.0, ["events_per_hour"])}


def test_the_lines_of_a_basket_are_one_action() -> None:
    basket = [(1, 5.0, item, "purchase", None) for item in range(9)]
    assert judged(basket, [7] * 9, rate=3) == {}
    assert list(judged(basket, rate=3)) == [1]


def test_gaps_of_one_length_are_regular_and_pauses_do_not_count() -> None:
    # Deviations from 100 of 10 and -10: a variation of .1; of 50: of .5. The pause of an hour is no gap.
    even = [0, 110, 200, 310, 400, 4000, 4100]
    uneven = [0, 150, 200, 350, 400, 4000, 4100]
    few = [0, 100, 200, 300]
    found = judged(views(1, even) + views(2, uneven) + views(3, few))
    assert found == {1: (86400, 1.0, ["regular_gaps"])}


def test_simultaneous_events_and_plays_are_not_regular() -> None:
    plays: list[Event] = [(2, 200.0 * k, 1, "play", None) for k in range(9)]
    assert judged(views(1, [5.0] * 9) + plays) == {}


def test_gaps_do_not_reach_over_midnight() -> None:
    assert judged(views(1, [86400 + 100 * k for k in (-2, -1, 0, 1)]), regular_gaps=3) == {}
    assert judged(views(1, [86400 + 100 * k for k in (0, 1, 2, 3)]), regular_gaps=3) == {
        1: (2 * 86400, 1.0, ["regular_gaps"])
    }


def test_weak_signs_add_up_within_one_day() -> None:
    broad: list[Event] = [(1, 7.0 * k * k, k, "view", None) for k in range(6)]
    assert judged(broad) == {1: (86400, 1.0, ["items_per_day", "items_per_hour"])}
    assert judged(broad, items_per_day=6) == {}
    # The hour's breadth and another day's are not one sign more.
    spread: list[Event] = [(1, t, k, "view", None) for k, t in enumerate([1, 2, 3, 90000.0, 99000, 110000])]
    assert judged([*spread, (1, 5.0, 9, "view", None)]) == {}


def test_many_views_alone_are_a_sign_and_one_purchase_ends_it() -> None:
    looks = views(1, [7.0 * k * k for k in range(6)])
    alone: dict[str, Any] = {"weights": {"views_alone": 1.0}, "views_alone": 6}
    assert judged(looks, **alone) == {1: (86400, 1.0, ["views_alone"])}
    assert judged([*looks, (1, 80000.0, 5, "purchase", None)], **alone) == {}


def test_equal_ratings_flag_alone_only_at_an_end_of_a_declared_scale() -> None:
    rated: list[Event] = [
        (user, 99.0 * k * k, k, "rating", stars) for user, stars in ((1, 1.0), (2, 4.0)) for k in range(3)
    ]
    mixed: list[Event] = [(3, 99.0 * k * k, k, "rating", 1.0 + (k == 1)) for k in range(3)]
    assert judged(rated + mixed) == {}
    assert judged(rated + mixed, rating_ends=(1, 5)) == {1: (86400, 1.0, ["equal_ratings", "extreme_ratings"])}


def test_a_rule_without_weight_is_off() -> None:
    assert judged(views(1, [100.0 * k for k in range(6)]), weights={"events_per_minute": 1.0}) == {}


def test_later_days_change_no_verdict() -> None:
    random = np.random.default_rng(5)
    early = a_log(random, 0, 2)
    before, after = judged(early, rate=3), judged(early + a_log(random, 2, 4), rate=3)
    assert len(before) > 5
    assert {user: after[user] for user in before} == before


_KINDS = [[0.65, 0.3, 0.03, 0.02], [0.1, 0.1, 0.05, 0.75]]


def a_log(random: np.random.Generator, first: int, last: int) -> list[Event]:
    """Few users, items, types and gaps, so that every rule is hit here and missed there."""
    found: list[Event] = []
    for user in range(40):
        for day in range(first, last):
            times = np.cumsum(
                random.choice([0, 30, 100, 104, 2500], size=random.integers(1, 12), p=[0.15, 0.1, 0.4, 0.25, 0.1])
            )
            for time in times:
                kind = str(random.choice(["view", "click", "cart", "rating"], p=_KINDS[user % 2]))
                value = float(random.choice([1, 1, 1, 5])) if kind == "rating" else None
                found.append((user, day * 86400 + 3000.0 + int(time), int(random.integers(8)), kind, value))
    return found


def expected(events: list[Event], settings: CleanSettings) -> dict[int, Any]:
    """By brute force, one user and day after the other."""
    limits, days = settings.robots, defaultdict(list)
    for event in events:
        days[event[0], int(event[1] // 86400)].append(event)
    found: dict[int, Any] = {}
    for (user, day), mine in sorted(days.items()):
        end, ends = (day + 1) * 86400, {}
        times = sorted(event[1] for event in mine)
        for rule, size, limit in (("events_per_minute", 60, settings.bot_events_per_minute),
                                  ("events_per_hour", 3600, settings.bot_events_per_hour)):  # fmt: skip
            fast = [t // size for t in times if sum(other // size == t // size for other in times) > limit]
            ends |= {rule: (min(fast) + 1) * size} if fast else {}
        gaps = [b - a for a, b in zip(times, times[1:], strict=False) if b - a <= 1800]
        if (
            len(gaps) >= limits.regular_gaps
            and sum(gaps) > 0
            and pstdev(gaps) <= limits.regular_variation * fmean(gaps)
        ):
            ends["regular_gaps"] = end
        looks = [event for event in mine if event[3] in ("view", "click")]
        if len({event[2] for event in looks}) > limits.items_per_day:
            ends["items_per_day"] = end
        hours = sorted({event[1] // 3600 for event in looks})
        wide = [h for h in hours if len({e[2] for e in looks if e[1] // 3600 == h}) > limits.items_per_hour]
        ends |= {"items_per_hour": (wide[0] + 1) * 3600} if wide else {}
        if len(looks) >= limits.views_alone and len(looks) == len(mine):
            ends["views_alone"] = end
        stars = [event[4] for event in mine if event[3] == "rating"]
        if len(stars) >= limits.equal_ratings and len(set(stars)) == 1:
            ends["equal_ratings"] = end
            ends |= {"extreme_ratings": end} if stars[0] in (limits.rating_ends or ()) else {}
        for since in sorted(ends.values()):
            rules = sorted(rule for rule, at in ends.items() if at <= since)
            if (score := sum(limits.weights[rule] for rule in rules)) >= 1:
                found.setdefault(user, (since, score, rules))
                break
    return found


def test_every_rule_against_brute_force() -> None:
    log = a_log(np.random.default_rng(11), 0, 6)
    settings = CleanSettings(bot_events_per_minute=3, bot_events_per_hour=6, robots=RobotSettings(**LOW, **MORE))
    wanted = expected(log, settings)
    assert {rule for _, _, rules in wanted.values() for rule in rules} == set(RobotSettings().weights)
    assert judged(log, rate=3, **MORE) == wanted


def test_the_robots_of_a_shop_are_found_and_no_people() -> None:
    """Half of the planted robots stay below every rate; without the rule for gaps, recall is one half."""
    cfg = ShopConfig.for_events(40_000, days=20, bot_share=0.004, slow_bot_share=0.004, bot_event_share=0.06)
    world, rate, days = build_world(cfg), session_rate(cfg), []
    for day in range(cfg.days):
        visits = make_visits(world, day, np.arange(cfg.n_users), rate=rate)
        made = make_actions(world, visits)
        days.append((visits.user[made.user], made.ts_ms * 1000, made.key, made.item, made.kind))
    user, time, key, item, kind = (np.concatenate(part) for part in zip(*days, strict=True))
    order = np.lexsort((key, time, user))
    names = np.array([EVENT_TYPES.index(name) for name in ("click", "view", "cart", "purchase", "return")])
    log = Rows(user[order], time[order], key[order], item[order], names[kind[order]], np.full(len(user), np.nan))
    found = {one.user for one in verdicts(log, CleanSettings())}
    planted = set(range(cfg.n_bots))
    assert len(planted) == 2 * cfg.n_fast_bots
    assert len(found & planted) / len(found) >= 0.95
    assert len(found & planted) / len(planted) >= 0.9


def test_shilling_is_found_among_people_who_rate_in_one_sitting() -> None:
    """The group rates 40 items each, all 1 or all 5, in a few minutes; people rate up to hundreds, seconds apart."""
    random = np.random.default_rng(3)
    log: list[Event] = []
    for user in range(300):
        times = 86400 * random.integers(0, 9) + np.cumsum(random.exponential(15, size=random.integers(5, 400)))
        stars = np.clip(np.rint(random.normal(3.6, 1.1, size=len(times))), 1, 5)
        log += [
            (user, float(t), int(random.integers(2000)), "rating", float(s)) for t, s in zip(times, stars, strict=True)
        ]
    for user in range(300, 330):
        times = 86400 * random.integers(0, 9) + 40000 + np.cumsum(random.exponential(4, size=40))
        log += [(user, float(t), k, "rating", 5.0 if user % 2 else 1.0) for k, t in enumerate(times)]
    settings = CleanSettings(robots=RobotSettings(rating_ends=(1, 5)))
    found = {one.user for one in verdicts(rows(log), settings)}
    assert len(found & set(range(300, 330))) / 30 >= 0.9
    assert len(found - set(range(300, 330))) / len(found) <= 0.05


def test_a_day_without_end_is_cut_and_the_next_is_whole() -> None:
    parts = [[1] * 3, [1] * 4 + [2] * 2, [2] * 9, [3]]
    batches = iter([pa.RecordBatch.from_pydict({"part": part}) for part in parts])
    kept = [value for batch in _cut(batches, 5) for value in batch.column("part").to_pylist()]
    assert kept == [1] * 5 + [2] * 5 + [3]
    assert DAY == 24 * HOUR
