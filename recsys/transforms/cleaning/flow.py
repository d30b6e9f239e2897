"""The order of cleaning: map, count, find repeats, count again, and only then hand out tables to be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import tables
from recsys.config.dataset import RAW, Dataset, Source
from recsys.errors import ConfigError, DataError
from recsys.progress import note, step
from recsys.transforms.cleaning import dedup, finish
from recsys.transforms.cleaning.mapping import PASSED_OVER, REASONS_TEXT
from recsys.transforms.cleaning.quarantine import Tally, check_shares, quarantine_rows, tally
from recsys.transforms.cleaning.robots import robots
from recsys.transforms.cleaning.rules import Bounds
from recsys.transforms.cleaning.shape import Shape, shape

_BYTES_PER_KEY = 64
_MOST_DAYS = 400


@dataclass(frozen=True)
class Rules:
    """What cleaning goes by; values of the config's `clean` section."""

    bounds: Bounds
    session_gap_minutes: int
    bot_events_per_minute: int
    bot_events_per_hour: int
    broadcast_limit_mb: int = 256

    @classmethod
    def of(
        cls,
        *,
        earliest: str,
        latest: str | None,
        now: datetime,
        max_id_length: int,
        max_list_length: int,
        session_gap_minutes: int,
        bot_events_per_minute: int,
        bot_events_per_hour: int,
        broadcast_limit_mb: int = 256,
        **_: object,
    ) -> Rules:
        """Make the rules from plain config values; dates are UTC.

        Raises
        ------
        ConfigError
            If a date can't be read, or the earliest is not before the latest.
        """
        last = now + timedelta(days=1) if latest is None else _date("clean.latest", latest)
        first = _date("clean.earliest", earliest)
        if first >= last:
            raise ConfigError(
                f"clean.earliest {earliest} is not before clean.latest {last:%Y-%m-%d}; no event would be left"
            )
        bounds = Bounds(first, last, max_id_length=max_id_length, max_list_length=max_list_length)
        return cls(bounds, session_gap_minutes, bot_events_per_minute, bot_events_per_hour, broadcast_limit_mb)


def _date(key: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{key} {text!r} is no date; write for example 1990-01-01") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


@dataclass(frozen=True)
class Origin:
    """What is stamped on every row: where it came from, with which batch, when."""

    dataset: Dataset
    batch_id: str
    ingested_at: datetime
    root: str = ""


@dataclass
class Cleaned:
    """What a batch became. Valid inside the `cleaned` block alone, which holds the parsed rows.

    Attributes
    ----------
    tables : dict of str to DataFrame
        `events`, `impressions`, `items`, `users`: those that the batch has rows for.
    quarantine : DataFrame
        Refused rows, by reason.
    tallies : list of Tally
        Rows by fate.
    hashed_ids : bool
        No source of events brings an `event_id` of its own.
    """

    tables: dict[str, DataFrame]
    quarantine: DataFrame
    tallies: list[Tally] = field(default_factory=list)
    hashed_ids: bool = False

    def check(self, *, quarantine_limit: float, duplicate_limit: float) -> None:
        """Stop where too large a share of the rows of a table was refused; see `check_shares`."""
        check_shares(self.tallies, quarantine_limit=quarantine_limit, duplicate_limit=duplicate_limit)

    def days(self, table: str) -> dict[str, list[date]] | None:
        """The days that a merge by key has to search, as `{date column: days}`; None for all of them.

        Only where the key is a hash of the row, time included, do equal keys have equal days. A batch over more than
        `_MOST_DAYS` days is not worth a list.
        """
        if table != "events" or not self.hashed_ids:
            return None
        seen = self.tables[table].agg(F.min("event_date").alias("first"), F.max("event_date").alias("last")).first()
        if seen is None or seen["first"] is None or (seen["last"] - seen["first"]).days >= _MOST_DAYS:
            return None
        return {
            "event_date": [seen["first"] + timedelta(days=at) for at in range((seen["last"] - seen["first"]).days + 1)]
        }


@dataclass(frozen=True)
class _Part:
    """Sources of one table that have one shape."""

    shape: Shape
    kept: DataFrame
    refused: DataFrame


@contextmanager
def cleaned(
    frames: Sequence[tuple[Source, DataFrame]],
    *,
    origin: Origin,
    rules: Rules,
    existing: Mapping[str, DataFrame] | None = None,
) -> Iterator[Cleaned]:
    """Clean a batch; the parsed rows are held on disk for the time of the block, so that files are parsed once.

    Parameters
    ----------
    frames : sequence of (Source, DataFrame)
        What the readers gave: the source's columns with `RAW`, `FILE` and `BROKEN`.
    existing : mapping, optional
        `items` and `users` rows already known from this dataset, by table.

    Raises
    ------
    DataError
        If a source holds no row.
    ConfigError
        If an expression of the mapping can't be used.
    """
    with ExitStack() as stack:
        parts, tallies = [], []
        for held in shape(frames, timezone=origin.dataset.timezone, bounds=rules.bounds):
            part, counted = _part(held, rules, stack)
            parts.append(part)
            tallies += counted
        _report(tallies, [source for source, _ in frames])
        refused = [_quarantined(part, origin) for part in parts]
        hashed = all("event_id" not in source.columns for source, _ in frames)
        result = Cleaned({}, reduce(DataFrame.unionByName, refused), tallies, hashed_ids=hashed)
        found = _robots(parts, rules, stack)
        for name in dict.fromkeys(part.shape.table for part in parts):
            mine = [(part.shape, part.kept) for part in parts if part.shape.table == name]
            result.tables[name] = _finished(name, mine, found, origin, rules, existing or {})
        yield result


def _hold(frame: DataFrame, stack: ExitStack) -> DataFrame:
    held = frame.persist(StorageLevel.DISK_ONLY)
    stack.callback(held.unpersist)
    return held


def _part(shaped: Shape, rules: Rules, stack: ExitStack) -> tuple[_Part, list[Tally]]:
    frame = _hold(shaped.frame, stack)
    with step(f"parse {shaped.label}") as this:
        counted = tally(frame, shaped.table)
        this.rows = sum(one.rows for one in counted)
    broken = frame.where(F.col(REASONS_TEXT) != "")
    if not shaped.compared:
        return _Part(shaped, frame.where(~F.col(PASSED_OVER) & (F.col(REASONS_TEXT) == "")), broken), counted
    with step(f"find repeats in {shaped.label}") as this:
        repeated = _hold(dedup.repeated_keys(frame), stack)
        found = repeated.count()
        if not found:
            this.rows = 0
            return _Part(shaped, frame.where(F.col(dedup.KEY_HASH).isNotNull()), broken), counted
        keys = F.broadcast(repeated) if _few(found, rules) else repeated
        judged = _hold(dedup.judged(frame, keys, key=shaped.key, content=shaped.content, order=shaped.order), stack)
        repeats = judged.where(F.col(REASONS_TEXT) != "")
        more = tally(repeats, shaped.table)
        this.rows = sum(one.rows for one in more)
    kept = dedup.single(frame, keys).unionByName(judged.where(F.col(REASONS_TEXT) == ""))
    return _Part(shaped, kept, broken.unionByName(repeats)), counted + more


def _few(keys: int, rules: Rules) -> bool:
    """Whether that many keys are small enough to be sent to every executor."""
    return keys * _BYTES_PER_KEY <= rules.broadcast_limit_mb * 1_000_000


def _report(tallies: Sequence[Tally], sources: Sequence[Source]) -> None:
    rows = {source.name: 0 for source in sources}
    passed = dict(rows)
    for one in tallies:
        rows[one.source] += one.rows
        passed[one.source] += one.rows if one.passed_over else 0
    for source in sources:
        if not rows[source.name]:
            raise DataError(
                f"source {source.name}: {source.path} holds no row; deliver it again, or take the source out"
            )
        if passed[source.name]:
            share = f"{passed[source.name]:,} of {rows[source.name]:,} rows"
            note(f"source {source.name}: {share} passed over, as the mapping says")
        if passed[source.name] == rows[source.name]:
            raise DataError(
                f"source {source.name}: every one of {rows[source.name]:,} rows of {source.path} was passed over; "
                "check `where` and `ignore_event_types`"
            )


def _quarantined(part: _Part, origin: Origin) -> DataFrame:
    return quarantine_rows(
        part.refused,
        table=part.shape.table,
        dataset=origin.dataset.name,
        batch_id=origin.batch_id,
        ingested_at=origin.ingested_at,
        root=origin.root,
    )


def _robots(parts: Sequence[_Part], rules: Rules, stack: ExitStack) -> DataFrame | None:
    events = [part.kept.select("user_id", "event_time") for part in parts if part.shape.table == "events"]
    if not events:
        return None
    united = reduce(DataFrame.unionByName, events)
    with step("find robots") as this:
        found = robots(united, per_minute=rules.bot_events_per_minute, per_hour=rules.bot_events_per_hour)
        held = _hold(found, stack)
        this.rows = held.count()
        return F.broadcast(held) if _few(this.rows, rules) else held


def _finished(
    name: str,
    parts: Sequence[tuple[Shape, DataFrame]],
    found: DataFrame | None,
    origin: Origin,
    rules: Rules,
    existing: Mapping[str, DataFrame],
) -> DataFrame:
    if name == "events":
        frame = finish.events(parts, found, gap_minutes=rules.session_gap_minutes)
    elif name == "impressions":
        frame = finish.impressions(parts, found)
    else:
        frame = finish.states(name, parts, existing.get(name), stamp=lambda rows: _stamped(rows, origin))
        return frame.select(*tables.BY_NAME[name].column_names)
    return _stamped(frame, origin).select(*tables.BY_NAME[name].column_names)


def _stamped(rows: DataFrame, origin: Origin) -> DataFrame:
    return rows.select(
        *(name for name in rows.columns if name != RAW),
        F.lit(origin.dataset.name).alias("source"),
        F.lit(origin.batch_id).alias("batch_id"),
        F.lit(origin.ingested_at).alias("ingested_at"),
    )
