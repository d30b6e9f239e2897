"""A brute-force version of every feature of an example: plain Python over lists of rows, no Spark, no tricks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from recsys.features.taste import taste_columns
from tests.features.logs import Row, people, valid
from tests.features.taste_oracle import Evidence

KEPT, DAYS = 200, 365
SESSION = (
    "session_events",
    "session_seconds",
    "session_idle_seconds",
    "session_idle_steps",
    "session_last_event",
    "session_item_events",
    "session_item_clicks",
    "session_item_order",
    "is_last_item",
    "is_last_click",
    "last_item_distance",
    "touched_distance",
    "touched_nearest",
    "list_touched",
    "price_to_last_item",
    "session_variety",
)


def features(
    pair: Row,
    full_list: Sequence[Row],
    events: Sequence[Row],
    items: Sequence[Row],
    users: Sequence[Row],
    length: int,
    taste: Evidence | None = None,
) -> Row:
    """Return every feature of one pair of a list; those of taste are null without evidence."""
    now = pair["example_time"]
    state = valid(items, "item_id", now).get(pair["item_id"], {})
    profile = valid(users, "user_id", now).get(pair["user_id"], {})
    past = _past(pair, events)
    of_item = [e for e in past if e["item_id"] == pair["item_id"]]
    categories = [
        valid(items, "item_id", e["event_time"], inclusive=True).get(e["item_id"], {}).get("category") for e in past
    ]
    category = state.get("category")
    out: Row = {
        "hour": now.hour,
        "day_of_week": now.isoweekday(),
        "device": pair["device"],
        "country": pair["country"] or profile.get("country"),
        "position": pair["position"],
        **_prices(pair, full_list, items),
        **_windows("user", pair["user_id"], now.date(), events),
        **_windows("item", pair["item_id"], now.date(), events),
        "user_segment": profile.get("segment"),
        "user_age": now.year - profile["birth_year"] if profile.get("birth_year") else None,
        "item_category": category,
        "item_brand": state.get("brand"),
        "item_age_days": _age_days(state.get("added_at"), now),
        "user_item_events": len(of_item),
        "user_item_seconds": (now - of_item[0]["event_time"]).total_seconds() if of_item else None,
        "user_category_share": categories.count(category) / len(past) if past and category else None,
        "history": list(dict.fromkeys(e["item_id"] for e in past))[:length],
        **_session(pair, full_list, past, categories, items),
        **_habits(now, past),
        **(taste.features(pair) if taste else dict.fromkeys(taste_columns())),
        "click_affinity": None,  # comes with the pairs, where there is a factorization
    }
    out |= {f"{name}_rank": (pair["ranks"] or {}).get(name) for name in ("als", "neighbors", "popular")}
    out |= {name: pair[name] for name in pair if name.startswith(("als_", "neighbors_", "popular_"))}
    out |= {name: pair[name] for name in ("candidate_rank", "candidate_score")}
    return out


def _past(pair: Row, events: Sequence[Row]) -> list[Row]:
    def is_past(event: Row) -> bool:
        if event["user_id"] != pair["user_id"] or event["event_time"] < pair["example_time"] - timedelta(days=DAYS):
            return False
        stepped = event["session_step"] is not None and pair["session_step"] is not None
        if pair["session_id"] is not None and event["session_id"] == pair["session_id"] and stepped:
            earlier: bool = event["session_step"] < pair["session_step"]
            return earlier and event["event_time"] <= pair["example_time"]
        return bool(event["event_time"] < pair["example_time"])

    def order(event: Row) -> tuple[Any, ...]:
        return event["event_time"], event["session_step"] or 0, event["event_id"]

    return sorted(filter(is_past, people(events)), key=order, reverse=True)[:KEPT]


def _windows(entity: str, name: str, day: date, events: Sequence[Row]) -> Row:
    def within(days: int) -> list[Row]:
        first = day - timedelta(days=days)
        return [e for e in people(events) if e[f"{entity}_id"] == name and first <= e["event_date"] < day]

    out: Row = {f"{entity}_events_{days}d": len(within(days)) for days in (7, 30, 365)}
    out[f"{entity}_purchases_365d"] = sum(e["event_type"] == "purchase" for e in within(365))
    if entity == "item":
        values = [e["value"] for e in within(365) if e["value"] is not None and e["event_type"] != "return"]
        out["item_value_mean_365d"] = sum(values) / len(values) if values else None
    return out


def _prices(pair: Row, full_list: Sequence[Row], items: Sequence[Row]) -> Row:
    def price(row: Row) -> float | None:
        if row["price"] is not None:
            return float(row["price"])
        found: float | None = valid(items, "item_id", row["example_time"]).get(row["item_id"], {}).get("price")
        return found

    prices = [p for p in map(price, full_list) if p is not None]
    mine = price(pair)
    mean = sum(prices) / len(prices) if prices else 0
    return {
        "price": mine,
        "price_rank_in_list": sum(p < mine for p in prices) / len(prices) if mine is not None else None,
        "price_to_list_mean": mine / mean if mine is not None and mean > 0 else None,
    }


def _age_days(added: datetime | None, now: datetime) -> float | None:
    return (now - added).total_seconds() / 86400 if added and added < now else None


def _habits(now: datetime, past: Sequence[Row]) -> Row:
    times = [e["event_time"] for e in past]
    hours = [time.hour // 4 == now.hour // 4 for time in times]
    weekends = [(time.isoweekday() > 5) == (now.isoweekday() > 5) for time in times]
    return {
        "user_hour_share": sum(hours) / len(times) if times else None,
        "user_weekend_share": sum(weekends) / len(times) if times else None,
    }


def _session(
    pair: Row, full_list: Sequence[Row], past: Sequence[Row], categories: Sequence[str | None], items: Sequence[Row]
) -> Row:
    if pair["session_id"] is None:
        return dict.fromkeys(SESSION)
    now, item, position = pair["example_time"], pair["item_id"], pair["position"]
    mine = [e for e in past if e["session_id"] == pair["session_id"]]
    kinds = {kind for kind, e in zip(categories, past, strict=True) if e["session_id"] == pair["session_id"]}
    mine.sort(key=lambda e: (e["session_step"] or 0, e["event_time"], e["event_id"]))
    last = mine[-1] if mine else dict.fromkeys(("item_id", "event_type", "session_step"))
    clicks = [e["item_id"] for e in mine if e["event_type"] == "click"]
    latest = list(dict.fromkeys(e["item_id"] for e in reversed(mine)))
    places = {row["item_id"]: row["position"] for row in full_list if row["position"] is not None}
    touched = [places[name] for name in latest if name in places]
    return {
        "session_events": len(mine),
        "session_seconds": (now - mine[0]["event_time"]).total_seconds() if mine else None,
        "session_idle_seconds": (now - mine[-1]["event_time"]).total_seconds() if mine else None,
        "session_idle_steps": _minus(pair["session_step"], last["session_step"]),
        "session_last_event": last["event_type"],
        "session_item_events": sum(e["item_id"] == item for e in mine),
        "session_item_clicks": clicks.count(item),
        "session_item_order": latest.index(item) if item in latest else None,
        "is_last_item": float(last["item_id"] == item),
        "is_last_click": float(bool(clicks) and clicks[-1] == item),
        "last_item_distance": _minus(position, places.get(last["item_id"])),
        "touched_distance": _minus(position, touched[0] if touched else None),
        "touched_nearest": min((abs(position - place) for place in touched), default=None) if position else None,
        "list_touched": len(touched),
        "price_to_last_item": _ratio(pair, full_list, items, last["item_id"]),
        "session_variety": len(kinds) / len(mine) if mine else None,
    }


def _ratio(pair: Row, full_list: Sequence[Row], items: Sequence[Row], last: str | None) -> float | None:
    prices = {row["item_id"]: _prices(row, full_list, items)["price"] for row in full_list}
    mine, base = prices[pair["item_id"]], prices.get(last or "")
    return mine / base if mine is not None and base else None


def _minus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other
