"""Refused rows as the `quarantine` table holds them, and the limits that stop a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from urllib.parse import quote as percent_encoded

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data.sql import literal
from recsys.errors import DataError
from recsys.ingest.given import REASONS_TEXT, SEPARATOR, SKIPPED, SOURCE_NAME
from recsys.ingest.mappable import FILE, RAW, TIME_COLUMN
from recsys.ingest.rules import DUPLICATES
from recsys.ingest.units import unit_of

_SHOWN_REASONS = 5
_PLAIN, _LAST_ASCII = "/:@&=+$,;_-!.~'()*", 0x7F
"""Of ASCII, what the path of a URI holds beside letters and digits."""


@dataclass(frozen=True)
class Tally:
    """How many rows of a source met the same fate.

    Attributes
    ----------
    reasons : tuple of str
        Every rule that these rows break; empty for clean and for skipped rows.
    file : str
        The file that holds them, as Spark shows it.
    first, last : int, optional
        Earliest and latest time of these rows, in microseconds since 1970; of states, that from which on they hold.
    """

    table: str
    source: str
    skipped: bool
    reasons: tuple[str, ...]
    rows: int
    file: str
    first: int | None = None
    last: int | None = None


def tally(frames: Sequence[tuple[str, DataFrame]]) -> list[Tally]:
    """Count the rows of mapped frames by file and fate, in one query whose result grows with the files alone.

    Parameters
    ----------
    frames : sequence of (str, DataFrame)
        Each with the name of the table that its rows are meant for.
    """
    if not frames:
        return []
    fate = ("table", SOURCE_NAME, SKIPPED, REASONS_TEXT, FILE)
    rows = [frame.select(F.lit(table).alias("table"), *fate[1:], _time(table)) for table, frame in frames]
    counted = (
        reduce(DataFrame.unionByName, rows)
        .groupBy(*fate)
        .agg(F.count(F.lit(1)).alias("rows"), F.min("__time").alias("first"), F.max("__time").alias("last"))
    )
    return [
        Tally(
            table=row["table"],
            source=row[SOURCE_NAME],
            skipped=row[SKIPPED],
            reasons=tuple(row[REASONS_TEXT].split(SEPARATOR)) if row[REASONS_TEXT] else (),
            rows=row["rows"],
            file=row[FILE] or "",
            first=row["first"],
            last=row["last"],
        )
        for row in counted.collect()
    ]


def _time(table: str) -> Column:
    """When a row happened, or a state began, in microseconds since 1970."""
    return F.unix_micros(TIME_COLUMN.get(table, "valid_from")).alias("__time")


def check_shares(tallies: Iterable[Tally], *, quarantine_limit: float, duplicate_limit: float) -> None:
    """Stop if too large a share of a table's rows was refused.

    Raises
    ------
    DataError
        With the table, the share, the limit, the most frequent reasons and a file that holds such rows.
    """
    by_table: dict[str, list[Tally]] = defaultdict(list)
    for one in tallies:
        if not one.skipped:
            by_table[one.table].append(one)
    for table, rows in by_table.items():
        repeats = [one for one in rows if one.reasons and one.reasons[0] in DUPLICATES]
        broken = [one for one in rows if one.reasons and one.reasons[0] not in DUPLICATES]
        # A repeat was already counted as clean when its row was mapped.
        total = sum(one.rows for one in rows) - sum(one.rows for one in repeats)
        _check(table, total, broken, quarantine_limit, "clean.quarantine_limit", "broken")
        _check(table, total, repeats, duplicate_limit, "clean.duplicate_limit", "duplicates")


def _check(table: str, total: int, refused: Sequence[Tally], limit: float, key: str, what: str) -> None:
    rows = sum(one.rows for one in refused)
    if not total or rows / total <= limit:
        return
    counts: dict[str, int] = defaultdict(int)
    first: dict[str, tuple[str, str]] = {}
    for one in refused:
        for reason in one.reasons:
            counts[reason] += one.rows
            first[reason] = min(first.get(reason, (one.file, one.source)), (one.file, one.source))
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_REASONS]
    listed = ", ".join(f"{reason} in {count:,}" for reason, count in top)
    file, source = first[top[0][0]]
    raise DataError(
        f"{table}: {_percent(rows / total)} of {total:,} rows are {what}, more than {key} {_percent(limit)} allows: "
        f"{listed} (source {source}, for example in {file}); nothing was written; fix the source or its mapping, "
        f"or raise the limit with --set {key}="
    )


def _percent(share: float) -> str:
    return f"{share:.2%}".replace(".00%", "%")


def quarantine_rows(
    refused: Sequence[tuple[str, DataFrame]], *, dataset: str, batch_id: str, ingested_at: datetime, root: str
) -> DataFrame:
    """Shape refused rows as the `quarantine` table: identical rows of a unit become one with `copies`.

    Parameters
    ----------
    refused : sequence of (str, DataFrame)
        Each with the name of the table that its rows were meant for.
    """
    # Bytes that are not UTF-8 would make the table unreadable elsewhere; a pass through Java strings replaces them.
    raw = F.regexp_replace(F.coalesce(RAW, F.lit("")), "\ufffd", "\ufffd")
    parts = [
        frame.select(
            F.lit(table).alias("target_table"),
            F.col(SOURCE_NAME).alias("source_name"),
            raw.alias("raw"),
            _below(root).alias("source_file"),
            unit_of(F.col(FILE), root).alias("unit"),
            REASONS_TEXT,
        )
        for table, frame in refused
    ]
    hashed = F.sha2(F.concat_ws("\x01", F.lit(dataset), "target_table", "source_name", "raw"), 256)
    grouped = (
        reduce(DataFrame.unionByName, parts)
        .select("*", hashed.alias("row_hash"))
        .groupBy("row_hash", "target_table", "source_name", "raw", "unit")
        .agg(
            F.min("source_file").alias("source_file"),
            F.array_sort(F.array_distinct(F.flatten(F.collect_set(F.split(REASONS_TEXT, SEPARATOR))))).alias("reasons"),
            F.count(F.lit(1)).alias("copies"),
        )
    )
    return grouped.select(
        "row_hash",
        F.lit(batch_id).alias("batch_id"),
        F.lit(dataset).alias("source"),
        "source_name",
        "target_table",
        "source_file",
        "reasons",
        "raw",
        "copies",
        F.lit(ingested_at.date()).alias("ingest_date"),
        F.lit(ingested_at).alias("ingested_at"),
        "unit",
    )


def _below(root: str) -> Column:
    """Return the file without the root (which Spark shows percent-encoded)."""
    if not root:
        return F.col(FILE)
    # Java leaves what no URI needs encoded as it is, letters of every alphabet included.
    prefix = "".join(one if ord(one) > _LAST_ASCII else percent_encoded(one, safe=_PLAIN) for one in root) + "/"
    at = F.locate(prefix, F.col(FILE))
    return F.when(at > 0, F.expr(f"substring({FILE}, locate({literal(prefix)}, {FILE}) + {len(prefix)})")).otherwise(
        F.col(FILE)
    )
