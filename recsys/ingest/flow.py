"""The order of cleaning: map, count, find repeats, count again, and only then hand out tables to be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.errors import DataError
from recsys.ingest import finish, repeats
from recsys.ingest.dataset import Source
from recsys.ingest.given import REASONS_TEXT, SKIPPED
from recsys.ingest.outcome import Cleaned, Origin
from recsys.ingest.quarantine import Tally, quarantine_rows, tally
from recsys.ingest.robots import robots
from recsys.ingest.rules import Bounds
from recsys.ingest.settings import CleanSettings
from recsys.ingest.shape import Shape, shape
from recsys.progress import note, step

_BYTES_PER_KEY: Final = 64
_BROKEN: Final = f"{REASONS_TEXT} != ''"
_FEW_KEYS: Final = 1000
"""Up to this many repeated keys stand in the queries themselves, which saves a join."""


@dataclass(frozen=True)
class _Part:
    """Sources of one table that have one shape, split into rows to keep and rows to refuse."""

    shape: Shape
    kept: DataFrame
    refused: DataFrame


class _Holder(ExitStack):
    """Keeps frames on disk until the block ends, so that files are parsed once."""

    def hold(self, frame: DataFrame) -> DataFrame:
        held = frame.persist(StorageLevel.DISK_ONLY)
        self.callback(held.unpersist)
        return held


@dataclass(frozen=True)
class _Few:
    """Decides whether a list of keys is small enough to be sent to every executor."""

    limit_mb: int

    def fits(self, count: int) -> bool:
        return count * _BYTES_PER_KEY <= self.limit_mb * 1_000_000

    def broadcast(self, keys: DataFrame, count: int) -> DataFrame:
        return F.broadcast(keys) if self.fits(count) else keys


@contextmanager
def cleaned(
    frames: Sequence[tuple[Source, DataFrame]],
    *,
    origin: Origin,
    settings: CleanSettings,
    broadcast_limit_mb: int = 256,
    existing: Mapping[str, DataFrame] | None = None,
) -> Iterator[Cleaned]:
    """Clean a batch; the parsed rows are held on disk within the block.

    Parameters
    ----------
    frames : sequence of (Source, DataFrame)
        What the readers returned: the source's columns with `RAW`, `FILE` and `BROKEN`.
    origin : Origin
        Where the rows come from. Its time is "now" for the rules; its dataset limits the length of lists.
    settings : CleanSettings
        What is refused, and where sessions end.
    broadcast_limit_mb : int
        Repeated keys and robots up to this size (MB) are broadcast.
    existing : mapping, optional
        Rows of `items` and `users` already known from this dataset, by table.

    Raises
    ------
    DataError
        If a source holds no row, or every row of it is skipped.
    ConfigError
        If a date of the settings or an expression of the mapping can't be used.
    """
    dataset, few = origin.dataset, _Few(broadcast_limit_mb)
    bounds = Bounds.of(settings, now=origin.ingested_at, max_list_length=dataset.max_list_length)
    with _Holder() as holder:
        shaped = [(one, holder.hold(one.frame)) for one in shape(frames, timezone=dataset.timezone, bounds=bounds)]
        with step("parse the files") as this:
            tallies = tally([(one.table, frame) for one, frame in shaped])
            this.rows = sum(one.rows for one in tallies)
        _report(tallies, [source for source, _ in frames])
        parts, more = _parts(shaped, few, holder)
        tallies += more
        refused = _quarantined(parts, origin)
        hashed = all("event_id" not in source.columns for source, _ in frames)
        result = Cleaned({}, refused, tallies, hashed_ids=hashed)
        found = _robots(parts, settings, few, holder)
        for name in dict.fromkeys(part.shape.table for part in parts):
            mine = [(part.shape, part.kept) for part in parts if part.shape.table == name]
            known = (existing or {}).get(name)
            result.tables[name] = _finished(name, mine, found, origin, settings.session_gap_minutes, known)
        yield result


def _parts(shaped: Sequence[tuple[Shape, DataFrame]], few: _Few, holder: _Holder) -> tuple[list[_Part], list[Tally]]:
    """Split each shape's rows into those to keep and those to refuse, and count the repeats among the latter."""
    with step("find repeats") as this:
        repeated = _repeated({at: frame for at, (one, frame) in enumerate(shaped) if one.compared}, few, holder)
        judged = {at: _judged(*shaped[at], keys, holder) for at, keys in repeated.items()}
        counted = tally([(shaped[at][0].table, rows.where(_BROKEN)) for at, rows in judged.items()])
        this.rows = sum(one.rows for one in counted)
    parts = []
    for at, (one, frame) in enumerate(shaped):
        kept, broken = frame.where(f"NOT {SKIPPED} AND NOT {_BROKEN}"), frame.where(_BROKEN)
        if at in judged:
            kept = repeated[at].without(frame).unionByName(judged[at].where(f"NOT {_BROKEN}"))
            broken = broken.unionByName(judged[at].where(_BROKEN))
        parts.append(_Part(one, kept, broken))
    return parts, counted


def _repeated(frames: Mapping[int, DataFrame], few: _Few, holder: _Holder) -> dict[int, repeats.Repeated]:
    """Find the repeated keys of frames; those without any have no entry."""
    if not frames:
        return {}
    keys = holder.hold(repeats.repeated_keys(frames))
    listed = keys.coalesce(1).limit(_FEW_KEYS + 1).collect()
    if len(listed) <= _FEW_KEYS and few.fits(len(listed)):
        named: dict[int, list[int]] = {}
        for row in listed:
            named.setdefault(row[repeats.PART], []).append(row[repeats.KEY_HASH])
        return {at: repeats.Repeated(tuple(sorted(hashes))) for at, hashes in named.items()}
    counted = keys.groupBy(repeats.PART).count().collect()
    return {row[repeats.PART]: repeats.Repeated(_of(keys, row[repeats.PART], row["count"], few)) for row in counted}


def _of(keys: DataFrame, part: int, count: int, few: _Few) -> DataFrame:
    return few.broadcast(keys.where(F.col(repeats.PART) == part).select(repeats.KEY_HASH), count)


def _judged(shaped: Shape, frame: DataFrame, keys: repeats.Repeated, holder: _Holder) -> DataFrame:
    return holder.hold(repeats.judged(frame, keys, key=shaped.key, content=shaped.content, order=shaped.order))


def _report(tallies: Sequence[Tally], sources: Sequence[Source]) -> None:
    rows = {source.name: 0 for source in sources}
    skipped = dict(rows)
    for one in tallies:
        rows[one.source] += one.rows
        skipped[one.source] += one.rows if one.skipped else 0
    for source in sources:
        if not rows[source.name]:
            raise DataError(
                f"source {source.name}: {source.path} holds no row; deliver it again, or take the source out"
            )
        if skipped[source.name]:
            share = f"{skipped[source.name]:,} of {rows[source.name]:,} rows"
            note(f"source {source.name}: {share} skipped, as the mapping says")
        if skipped[source.name] == rows[source.name]:
            raise DataError(
                f"source {source.name}: every one of {rows[source.name]:,} rows of {source.path} was skipped; "
                "check `where` and `ignore_event_types`"
            )


def _quarantined(parts: Sequence[_Part], origin: Origin) -> DataFrame:
    return quarantine_rows(
        [(part.shape.table, part.refused) for part in parts],
        dataset=origin.dataset.name,
        batch_id=origin.batch_id,
        ingested_at=origin.ingested_at,
        root=origin.root,
    )


def _robots(parts: Sequence[_Part], settings: CleanSettings, few: _Few, holder: _Holder) -> DataFrame | None:
    """Find the robots among the users of the events; None where there are none."""
    events = [part.kept.select("user_id", "event_time") for part in parts if part.shape.table == "events"]
    if not events:
        return None
    united = reduce(DataFrame.unionByName, events)
    with step("find robots") as this:
        found = robots(united, per_minute=settings.bot_events_per_minute, per_hour=settings.bot_events_per_hour)
        held = holder.hold(found)
        # Within one partition, rows are counted without a shuffle.
        this.rows = held.coalesce(1).count()
        return few.broadcast(held, this.rows) if this.rows else None


def _finished(
    name: str,
    parts: finish.Parts,
    found: DataFrame | None,
    origin: Origin,
    gap_minutes: int,
    existing: DataFrame | None,
) -> DataFrame:
    """Return a table's rows; `found` are the robots, `existing` the rows of items or users already known."""
    if name == "events":
        frame = origin.stamp(finish.events(parts, found, gap_minutes=gap_minutes))
    elif name == "impressions":
        frame = origin.stamp(finish.impressions(parts, found))
    else:
        frame = finish.states(name, parts, existing, stamp=origin.stamp)
    return frame.select(*data.BY_NAME[name].column_names)
