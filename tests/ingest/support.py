"""Shared by the cleaning tests: short mappings, raw files from literals, one call that cleans them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from recsys.ingest.dataset import Dataset
from recsys.ingest.flow import cleaned
from recsys.ingest.given import REASONS_TEXT
from recsys.ingest.outcome import Origin
from recsys.ingest.quarantine import Tally
from recsys.ingest.rules import Bounds
from recsys.ingest.settings import CleanSettings
from recsys.ingest.shape import shape
from recsys.ingest.sources import Batch, read_batch
from recsys.ingest.undo import Undo
from recsys.store.files import list_files

NOW = datetime(2024, 7, 1, tzinfo=UTC)
SETTINGS = CleanSettings(max_id_length=40, session_gap_minutes=30, bot_events_per_minute=3, bot_events_per_hour=6)
LONGEST_LIST = 5

EVENT_COLUMNS: dict[str, Any] = {
    "event_id": "id",
    "user_id": "user",
    "item_id": "item",
    "event_type": "type",
    "event_time": "time",
    "quantity": "qty",
    "price": "price",
    "session_id": "session",
    "session_step": "step",
}
EVENT: dict[str, Any] = {
    "id": "e1",
    "user": "u1",
    "item": "i1",
    "type": "view",
    "time": "2024-05-01T10:00:00Z",
    "qty": 2,
    "price": 9.5,
    "session": "s1",
    "step": 1,
}


def event(**changes: Any) -> dict[str, Any]:
    """Return a clean raw event with changes; a change to None removes the key."""
    return {key: value for key, value in {**EVENT, **changes}.items() if value is not None}


def source(**changes: Any) -> dict[str, Any]:
    """Return a source of JSON events with changes."""
    base: dict[str, Any] = {
        "name": "actions",
        "table": "events",
        "path": "events.json",
        "format": "json",
        "columns": EVENT_COLUMNS,
    }
    return {**base, **changes}


def dataset(*sources: Mapping[str, Any], **changes: Any) -> Dataset:
    """Return a mapping of the given sources, or of JSON events if there are none."""
    base = {"name": "shop", "sources": list(sources) or [source()], "max_list_length": LONGEST_LIST}
    return Dataset.model_validate({**base, **changes})


def lines(rows: Iterable[Mapping[str, Any] | str]) -> str:
    """Return rows as JSON lines; a text is taken as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def write(folder: Path, name: str, content: str | bytes, *, encoding: str = "utf-8") -> Path:
    """Write a raw file, gzipped if its name says so."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode(encoding) if isinstance(content, str) else content
    file.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
    return file


@dataclass(frozen=True)
class Outcome:
    """Everything that cleaning a folder returned, collected."""

    tables: dict[str, list[Row]]
    quarantine: list[Row]
    tallies: list[Tally]
    batch_id: str
    taken_back: dict[str, list[Row]] = field(default_factory=dict)

    def column(self, table: str, name: str) -> list[Any]:
        """Values of a column, sorted."""
        return sorted(row[name] for row in self.tables[table])

    def reasons(self) -> dict[str, int]:
        """Refused rows by reason."""
        found: dict[str, int] = {}
        for row in self.quarantine:
            for reason in row["reasons"]:
                found[reason] = found.get(reason, 0) + row["copies"]
        return found


def opened(spark: SparkSession, mapping: Dataset | None, root: Path | str | None) -> Batch:
    """Open the files of a folder, listed as the job lists them."""
    return read_batch(spark, mapping, root=None if root is None else str(root), list_files=list_files)


def mapped(spark: SparkSession, mapping: Dataset, root: Path) -> list[Row]:
    """Read a folder and map it, without the later steps; every row has to be clean."""
    batch = opened(spark, mapping, root)
    bounds = Bounds.of(SETTINGS, now=NOW, max_list_length=LONGEST_LIST)
    rows = [row for one in shape(batch.frames, timezone=mapping.timezone, bounds=bounds) for row in one.frame.collect()]
    assert [row[REASONS_TEXT] for row in rows if row[REASONS_TEXT]] == []
    return rows


def clean(
    spark: SparkSession,
    mapping: Dataset,
    root: Path,
    *,
    settings: CleanSettings = SETTINGS,
    broadcast_limit_mb: int = 256,
    limits: Sequence[float] = (1.0, 1.0),
    existing: Mapping[str, DataFrame] | None = None,
    late_before: Mapping[str, datetime] | None = None,
    undo: Undo | None = None,
) -> Outcome:
    """Read and clean a folder, and collect what would be written."""
    batch = opened(spark, mapping, root)
    cleaning = cleaned(
        batch.frames,
        origin=Origin(mapping, batch.batch_id, NOW, batch.root),
        settings=settings,
        broadcast_limit_mb=broadcast_limit_mb,
        existing=existing,
        late_before=late_before,
        undo=undo,
    )
    with batch.reading(), cleaning as rows:
        rows.check(quarantine_limit=limits[0], duplicate_limit=limits[1])
        found = {name: frame.collect() for name, frame in rows.tables.items()}
        refused = rows.quarantine.collect() if rows.quarantine else []
        gone = {name: keys.collect() for name, keys in rows.taken_back.items()}
        return Outcome(found, refused, rows.tallies, batch.batch_id, gone)
