"""What a batch becomes: where it came from, the tables to write, and the counts that may stop the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.ingest.dataset import Dataset
from recsys.ingest.mappable import RAW
from recsys.ingest.quarantine import Tally, check_shares

_MOST_DAYS: Final = 400


@dataclass(frozen=True)
class Origin:
    """What is stamped on every row: the dataset it came from, in which batch, and when.

    Attributes
    ----------
    root : str
        Prefix that is cut off file names in the quarantine.
    """

    dataset: Dataset
    batch_id: str
    ingested_at: datetime
    root: str = ""

    def stamp(self, rows: DataFrame) -> DataFrame:
        """Add the provenance columns to rows, and drop the row as it was read."""
        return rows.select(
            *(name for name in rows.columns if name != RAW),
            F.lit(self.dataset.name).alias("source"),
            F.lit(self.batch_id).alias("batch_id"),
            F.lit(self.ingested_at).alias("ingested_at"),
        )


@dataclass
class Cleaned:
    """What a batch became. Valid only within the `cleaned` block, which holds the parsed rows.

    Attributes
    ----------
    tables : dict of str to DataFrame
        `events`, `impressions`, `items`, `users`: those that the batch has rows for.
    quarantine : DataFrame
        Refused rows with their reasons.
    tallies : list of Tally
        Numbers of rows by what became of them.
    hashed_ids : bool
        No source of events has an `event_id` of its own.
    """

    tables: dict[str, DataFrame]
    quarantine: DataFrame
    tallies: list[Tally] = field(default_factory=list)
    hashed_ids: bool = False

    def check(self, *, quarantine_limit: float, duplicate_limit: float) -> None:
        """Stop if too large a share of a table's rows was refused; see `check_shares`."""
        check_shares(self.tallies, quarantine_limit=quarantine_limit, duplicate_limit=duplicate_limit)

    def days(self, table: str) -> dict[str, list[date]] | None:
        """Return the days that a merge by key has to search, as `{date column: days}`; None for all of them.

        Equal keys are sure to have equal days only if the key is a hash of the row, time included. For a batch that
        spans more than `_MOST_DAYS` days a list is not worth while.
        """
        if table != "events" or not self.hashed_ids:
            return None
        span = self.tables[table].agg(F.min("event_date").alias("first"), F.max("event_date").alias("last")).first()
        if span is None or span["first"] is None or (span["last"] - span["first"]).days >= _MOST_DAYS:
            return None
        count = (span["last"] - span["first"]).days + 1
        return {"event_date": [span["first"] + timedelta(days=at) for at in range(count)]}
