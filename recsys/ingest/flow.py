"""The order of cleaning: map, count, find repeats, count again, and only then hand out tables to be written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import DataError
from recsys.ingest import repeats
from recsys.ingest.dataset import Source
from recsys.ingest.given import REASONS_TEXT, SKIPPED
from recsys.ingest.holding import Few, Holder
from recsys.ingest.making import Maker
from recsys.ingest.outcome import Cleaned, Origin
from recsys.ingest.quarantine import Tally, quarantine_rows, tally
from recsys.ingest.rules import Bounds
from recsys.ingest.settings import CleanSettings
from recsys.ingest.shape import Shape, shape
from recsys.ingest.taking_back import TakingBack
from recsys.ingest.undo import Undo
from recsys.progress import note, step

_BROKEN: Final = f"{REASONS_TEXT} != ''"
_FEW_KEYS: Final = 1000
"""Up to this many repeated keys stand in the queries themselves, which saves a join."""


@dataclass(frozen=True)
class _Part:
    """Sources of one table that have one shape, split into rows to keep and rows to refuse."""

    shape: Shape
    kept: DataFrame
    refused: DataFrame


@contextmanager
def cleaned(
    frames: Sequence[tuple[Source, DataFrame]],
    *,
    origin: Origin,
    settings: CleanSettings,
    broadcast_limit_mb: int = 256,
    existing: Mapping[str, DataFrame] | None = None,
    late_before: Mapping[str, datetime] | None = None,
    seen: Collection[str] = (),
    undo: Undo | None = None,
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
        What is stored of this dataset, by table: `events`, `impressions`, `items`, `users`, `robots`.
    late_before : mapping of str to datetime, optional
        Name of a source, to the instant before which its rows are late.
    seen : collection of str
        Sources that an earlier batch had rows of: it is no error if they have none today.
    undo : Undo, optional
        Units whose stored rows are taken back.

    Raises
    ------
    DataError
        If a source that was never seen holds no row, or every row of it is skipped.
    ConfigError
        If a date of the settings or an expression of the mapping can't be used.
    """
    dataset, few = origin.dataset, Few(broadcast_limit_mb)
    bounds = Bounds.of(settings, now=origin.ingested_at, max_list_length=dataset.max_list_length)
    with Holder() as holder:
        shapes = shape(frames, timezone=dataset.timezone, bounds=bounds, late_before=late_before)
        shaped = [(one, holder.hold(one.frame)) for one in shapes]
        with step("parse the files") as this:
            tallies = tally([(one.table, frame) for one, frame in shaped])
            this.rows = sum(one.rows for one in tallies)
        _report(tallies, [source for source, _ in frames], seen=seen)
        parts, more = _parts(shaped, few, holder)
        by_table: dict[str, list[tuple[Shape, DataFrame]]] = {}
        for part in parts:
            by_table.setdefault(part.shape.table, []).append((part.shape, part.kept))
        back = TakingBack(undo, existing or {}, holder) if undo else None
        stored = back.left if back else existing or {}
        maker = Maker(by_table, stored, tallies, origin, settings, few, holder, late_before or {}, back)
        tables = maker.made()
        removed = back.removed(tables) if back else {}
        yield Cleaned(tables, _quarantined(parts, origin), tallies + more, maker.since(), removed)


def _parts(shaped: Sequence[tuple[Shape, DataFrame]], few: Few, holder: Holder) -> tuple[list[_Part], list[Tally]]:
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


def _repeated(frames: Mapping[int, DataFrame], few: Few, holder: Holder) -> dict[int, repeats.Repeated]:
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


def _of(keys: DataFrame, part: int, count: int, few: Few) -> DataFrame:
    return few.broadcast(keys.where(F.col(repeats.PART) == part).select(repeats.KEY_HASH), count)


def _judged(shaped: Shape, frame: DataFrame, keys: repeats.Repeated, holder: Holder) -> DataFrame:
    return holder.hold(repeats.judged(frame, keys, key=shaped.key, content=shaped.content, order=shaped.order))


def _report(tallies: Sequence[Tally], sources: Sequence[Source], *, seen: Collection[str]) -> None:
    rows = {source.name: 0 for source in sources}
    skipped = dict(rows)
    for one in tallies:
        rows[one.source] += one.rows
        skipped[one.source] += one.rows if one.skipped else 0
    for source in sources:
        if not rows[source.name] and source.name in seen:
            note(f"source {source.name}: no row today")
            continue
        if not rows[source.name]:
            raise DataError(
                f"source {source.name}: {source.path} holds no row; deliver it again, or take the source out"
            )
        if skipped[source.name]:
            share = f"{skipped[source.name]:,} of {rows[source.name]:,} rows"
            note(f"source {source.name}: {share} skipped, as the mapping says")
        if skipped[source.name] == rows[source.name] and source.name not in seen:
            raise DataError(
                f"source {source.name}: every one of {rows[source.name]:,} rows of {source.path} was skipped; "
                "check `where` and `ignore_event_types`"
            )


def _quarantined(parts: Sequence[_Part], origin: Origin) -> DataFrame | None:
    if not parts:
        return None
    return quarantine_rows(
        [(part.shape.table, part.refused) for part in parts],
        dataset=origin.dataset.name,
        batch_id=origin.batch_id,
        ingested_at=origin.ingested_at,
        root=origin.root,
    )
