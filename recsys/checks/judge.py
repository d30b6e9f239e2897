"""Judges the figures: plain functions from facts and settings to findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from recsys.checks.facts import LOGS, STATES, Facts, optional_columns
from recsys.checks.settings import CheckSettings
from recsys.ingest.rules import DUPLICATES

WEEK: Final = 7
LEAST_WEEKS: Final = 3
"""From so many days of the same weekday on, their median says what to expect."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Finding:
    """What one check found; the attributes are columns of `checks`.

    Attributes
    ----------
    fails : bool
        Whether the value is beyond the bound: `warn` or `stop` then, by the settings.
    """

    table: str
    check: str
    subject: str
    value: float | None
    n: int
    message: str
    expected: float | None = None
    bound: float | None = None
    status: str = "ok"
    fails: bool = False


def judge(facts: Facts, settings: CheckSettings, *, as_of: datetime) -> list[Finding]:
    """Judge all facts, in the order of the checks; `warn` and `stop` follow from the settings."""
    found = [
        *_volumes(facts, settings),
        *_null_shares(facts, settings),
        *_new_values(facts, settings),
        *_known(facts, settings),
        *_freshness(facts, settings, as_of),
        *_quarantined(facts, settings),
    ]
    return [_with_status(one, settings) for one in found]


def _with_status(one: Finding, settings: CheckSettings) -> Finding:
    if not one.fails or one.status == "stop":
        return one
    return Finding(**{**vars(one), "status": "stop" if one.check in settings.stops else "warn"})


def _volumes(facts: Facts, x: CheckSettings) -> Iterator[Finding]:
    """The newest day against the median of the same weekday, overall and by type; states against those a day before."""
    for table in LOGS:
        kinds = sorted({kind for name, kind, _ in facts.rows if name == table and kind})
        oldest = max((age for name, _, age in facts.rows if name == table), default=0)
        for kind in ["", *kinds] if _days(facts, table, "") else []:
            days = _days(facts, table, kind)
            same = [days.get(age, 0) for age in range(WEEK, min(oldest, x.window_days) + 1, WEEK)]
            usual = float(median(same)) if len(same) >= LEAST_WEEKS else None
            yield _volume(table, kind, days.get(0, 0), usual, x, f"{LEAST_WEEKS} weeks of its weekday")
    for table in STATES:
        days = _days(facts, table, "")
        if days:
            yield _volume(table, "", days.get(0, 0), float(days.get(1, 0)), x, "a state of the day before")


def _days(facts: Facts, table: str, kind: str) -> dict[int, int]:
    """Rows by age: of one type of event, or of all."""
    days: dict[int, int] = {}
    for (name, one, age), n in facts.rows.items():
        if name == table and (not kind or one == kind):
            days[age] = days.get(age, 0) + n
    return days


def _volume(table: str, kind: str, n: int, usual: float | None, x: CheckSettings, needs: str) -> Finding:
    what = f"{kind} events" if kind else "rows"
    if usual is None or (usual < x.min_rows and n < x.min_rows):
        lacks = f"not judged before {needs}" if usual is None else "too few to judge"
        return Finding(table, "volume", kind, float(n), n, f"{n:,} {what}; {lacks}", usual)
    low, high = usual / x.volume_ratio, usual * x.volume_ratio
    return Finding(
        *(table, "volume", kind, float(n), n, f"{n:,} {what} where {usual:,.0f} are usual", usual),
        bound=low if n < usual else high,
        fails=not low <= n <= high,
    )


def _null_shares(facts: Facts, x: CheckSettings) -> Iterator[Finding]:
    for table in (*LOGS, *STATES):
        days = _days(facts, table, "")
        newest, before = days.get(0, 0), sum(n for age, n in days.items() if age)
        for column in optional_columns(table) if newest else ():
            past = sum(n for (name, one, age), n in facts.nulls.items() if (name, one) == (table, column) and age)
            value = facts.nulls.get((table, column, 0), 0) / newest
            expected = past / before if before else None
            judged = expected is not None and min(newest, before) >= x.min_rows
            bound = min(1.0, expected + x.null_change) if judged and expected is not None else None
            usual = "" if expected is None else f", {expected:.1%} before"
            yield Finding(
                *(table, "null_share", column, value, newest, f"{value:.1%} without {column}{usual}", expected, bound),
                fails=bound is not None and value > bound,
            )


def _new_values(facts: Facts, x: CheckSettings) -> Iterator[Finding]:
    for (table, column), found in sorted(facts.new.items()):
        if not found.newest or not found.before:
            continue
        value = found.rows / found.newest
        example = f", most often {found.example!r}" if found.example is not None else ""
        yield Finding(
            *(table, "new_values", column, value, found.newest),
            f"{found.values:,} new values of {column} in {found.rows:,} of {found.newest:,} rows{example}",
            bound=x.new_share,
            status="note" if found.values else "ok",
            fails=value > x.new_share and min(found.newest, found.before) >= x.min_rows,
        )


def _known(facts: Facts, x: CheckSettings) -> Iterator[Finding]:
    for kind, column, bound, nobody in (
        ("items", "item_id", x.known_items_share, "no catalog of these items"),
        ("users", "user_id", x.known_users_share, "no profiles of these users"),
        ("lists", "list_id", x.known_lists_share, "no shown lists of these events"),
    ):
        known, n = facts.known.get(kind, (0, 0))
        if not n:
            continue
        share = f"{known:,} of {n:,} events name {kind} that are known"
        yield Finding(
            *("events", f"known_{kind}", column, known / n, n),
            share if known else f"{share}: {nobody}",
            bound=bound,
            status="ok" if known else "note",
            fails=bool(known) and n >= x.min_rows and known / n < bound,
        )


def _freshness(facts: Facts, x: CheckSettings, as_of: datetime) -> Iterator[Finding]:
    for table in LOGS:
        if table not in facts.latest:
            continue
        latest = facts.latest[table]
        age = (as_of - latest) / _DAY
        stops = table == "events" and x.stop_age_days is not None and age > x.stop_age_days
        yield Finding(
            *(table, "freshness", "", age, 1, f"the newest row is of {latest:%Y-%m-%dT%H:%M:%SZ}, {age:.1f} days old"),
            bound=x.stop_age_days if stops else x.max_age_days,
            status="stop" if stops else "ok",
            fails=age > x.max_age_days,
        )


def _quarantined(facts: Facts, x: CheckSettings) -> Iterator[Finding]:
    for (table, reason), refused in sorted(facts.refused.items()):
        total = facts.kept.get(table, 0) + facts.refused[table, ""]
        # The empty reason is of all of them, repeats included, which have a bound of their own.
        bound = None if not reason else x.repeated_share if reason in DUPLICATES else x.quarantined_share
        value = refused / total
        yield Finding(
            *(table, "quarantined", reason, value, total),
            f"{refused:,} of {total:,} rows of the newest batches refused{': ' if reason else ''}{reason}",
            bound=bound,
            status="ok" if reason else "note",
            fails=bound is not None and total >= x.min_rows and value > bound,
        )
