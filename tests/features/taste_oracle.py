"""A brute-force version of every feature of taste: plain Python over lists of rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from recsys.features.examples import CLICKED
from tests.features.logs import Row, people, valid

WINDOW, HALF_LIFE = 20, 5.0
Looked = tuple[Row, int, float, date]
"""A shown item with its keys, whether it was clicked, its exposure, and its day."""


class Evidence:
    """Everything shown and taken up, described as it was at the time.

    Parameters
    ----------
    impressions, events, items, users : sequences of rows
        The tables.
    effects : mapping of int to float
        Effects of positions; 1 where there is none.
    """

    def __init__(
        self,
        impressions: Sequence[Row],
        events: Sequence[Row],
        items: Sequence[Row],
        users: Sequence[Row],
        effects: Mapping[int, float],
    ) -> None:
        self.items, self.users = items, users
        taken = {
            (e["list_id"], e["user_id"], e["item_id"], e["event_date"])
            for e in people(events)
            if e["event_type"] in CLICKED
        }
        self.shown: list[Looked] = []
        for row in people(impressions):
            key = (row["list_id"], row["user_id"], row["item_id"], row["shown_date"])
            clicked = row["label"] if row["label"] is not None else float(key in taken)
            exposure = round(effects.get(min(row["position"], 50), 1.0), 6)
            self.shown.append((self.keys(row, row["shown_at"]), int(clicked), exposure, row["shown_date"]))
        chosen = [e for e in people(events) if e["event_type"] in CLICKED]
        self.chosen = [(self.keys(e, e["event_time"]), e["event_date"]) for e in chosen]

    def keys(self, row: Row, now: datetime) -> Row:
        """Return what a row of a user and an item counts under."""
        state = valid(self.items, "item_id", now).get(row["item_id"], {})
        price = row["price"] if row["price"] is not None else state.get("price")
        category, segment = (
            state.get("category"),
            valid(self.users, "user_id", now).get(row["user_id"], {}).get("segment"),
        )
        level = self.level(category, price, now.date())
        return {
            "all": "",
            "user": row["user_id"],
            "item": row["item_id"],
            "brand": state.get("brand"),
            "category": category,
            "category_segment": (category, segment or "") if category else None,
            "level": level,
            "band": min(int(level * 10), 9) if level is not None else None,
        }

    def level(self, category: str | None, price: float | None, day: date) -> float | None:
        """Return the share of the category's catalog of that Monday that is cheaper, in steps of 1/12 doubling."""
        monday = day - timedelta(days=day.weekday())
        start = datetime(monday.year, monday.month, monday.day, tzinfo=UTC)
        states = [s for s in valid(self.items, "item_id", start).values() if not s["added_at"] or s["added_at"] < start]
        steps = Counter(_step(s["price"]) for s in states if s["price"] and (s["category"] or "") == (category or ""))
        if not steps or not price:
            return None
        step = max(min(steps), min(max(steps), _step(price)))
        below = sum(n for other, n in steps.items() if other < step)
        return (below + steps[step] / 2) / steps.total()

    def features(self, pair: Row) -> Row:
        """Return every feature of taste of a pair."""
        now = pair["example_time"]
        day, mine = now.date(), self.keys(pair, now)
        looks, clicks, _ = self._sum(day, WINDOW, lambda keys: True)
        base = clicks / looks if looks else None
        out: Row = {}
        for name, kind, days in RATES:
            out[name] = self._rate(kind, mine[kind], day, days, base)
        out["item_shown"] = self._sum(day, WINDOW, lambda keys: keys["item"] == mine["item"])[2]
        for kind in ("brand", "category", "band"):
            out |= self._lift(kind, mine, day, base or 0.0)
        again = [look for look in self._of_user(mine, day) if look[0]["item"] == mine["item"]]
        out["user_item_shown"] = len(again)
        out["user_item_skipped"] = sum(1 - look[1] for look in again)
        out["user_item_shown_days"] = min(((day - look[3]).days for look in again), default=None)
        levels = [
            round(keys["level"], 6)
            for keys, of in self.chosen
            if keys["user"] == mine["user"] and _within(of, day, WINDOW) and keys["level"] is not None
        ]
        level = sum(levels) / len(levels) if levels else None
        known = mine["level"] is not None and level is not None
        out |= {"price_level": mine["level"], "user_price_level": level}
        return out | {"price_level_gap": mine["level"] - level if known else None}

    def _of_user(self, mine: Row, day: date) -> list[Looked]:
        return [one for one in self.shown if one[0]["user"] == mine["user"] and _within(one[3], day, WINDOW)]

    def _sum(self, day: date, days: int, alike: Callable[[Row], bool]) -> tuple[float, int, int]:
        found = [one for one in self.shown if _within(one[3], day, days) and alike(one[0])]
        return sum(one[2] for one in found), sum(one[1] for one in found), len(found)

    def _rate(self, kind: str, value: object, day: date, days: int, base: float | None) -> float | None:
        if value is None or base is None:
            return None
        looks, clicks, _ = self._sum(day, days, lambda keys: bool(keys[kind] == value))
        strength = self.strength(kind, day)
        return (clicks + base * strength) / (looks + strength)

    def strength(self, kind: str, day: date) -> float:
        """Fit the prior of a kind on the whole weeks before the day's own."""
        monday = day - timedelta(days=day.weekday())
        sums: dict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for keys, clicked, exposure, of in self.shown:
            if keys[kind] is not None and _within(of, monday, (WINDOW - 6) // 7 * 7):
                sums[keys[kind]][0] += exposure
                sums[keys[kind]][1] += clicked
        if len(sums) < 2:
            return 20.0
        total, clicks = sum(n for n, _ in sums.values()), sum(c for _, c in sums.values())
        mean = min(1.0, clicks / total)
        spread = sum(n * (c / n - clicks / total) ** 2 for n, c in sums.values())
        within = mean * (1 - mean)
        between = (spread - within * (len(sums) - 1)) / (total - sum(n * n for n, _ in sums.values()) / total)
        return max(1.0, min(within / between - 1, 10_000.0)) if between > 1e-12 else 10_000.0

    def _lift(self, kind: str, mine: Row, day: date, base: float) -> Row:
        names = [f"user_{kind}_{what}" for what in ("lift", "shown", "clicks")]
        if mine[kind] is None:
            return dict.fromkeys(names)
        found = [one for one in self._of_user(mine, day) if one[0][kind] == mine[kind]]
        weights = [round(2**20 * 0.5 ** ((day - one[3]).days / HALF_LIFE)) / 2**20 for one in found]
        clicks = sum(w * one[1] for w, one in zip(weights, found, strict=True))
        expected = base * sum(w * one[2] for w, one in zip(weights, found, strict=True))
        return dict(
            zip(names, (math.log((clicks + 1) / (expected + 1)), len(found), sum(o[1] for o in found)), strict=True)
        )


RATES = (
    ("item_ctr_7d", "item", 7),
    ("item_ctr_30d", "item", min(30, WINDOW)),
    ("item_ctr", "item", WINDOW),
    ("brand_ctr", "brand", WINDOW),
    ("category_ctr", "category", WINDOW),
    ("category_segment_ctr", "category_segment", WINDOW),
)


def _within(of: date, day: date, days: int) -> bool:
    return day - timedelta(days=days) <= of < day


def _step(price: float) -> int:
    return math.floor(math.log2(min(max(price, 2.0**-10), 2.0**30)) * 12)
