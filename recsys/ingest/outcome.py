"""What a batch becomes: where it came from, the tables to write, and the counts that may stop the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.ingest.dataset import Dataset
from recsys.ingest.mappable import FILE, RAW
from recsys.ingest.quarantine import Tally, check_shares
from recsys.ingest.units import unit_of


@dataclass(frozen=True)
class Origin:
    """What is stamped on every row: the dataset it came from, in which batch, and when.

    Attributes
    ----------
    root : str
        Prefix that is cut off the names of files and units.
    """

    dataset: Dataset
    batch_id: str
    ingested_at: datetime
    root: str = ""

    def stamp(self, rows: DataFrame) -> DataFrame:
        """Add the provenance columns to rows, the unit among them, and drop their file and the row as it was read."""
        return rows.select(
            *(name for name in rows.columns if name not in (RAW, FILE)),
            F.lit(self.dataset.name).alias("source"),
            F.lit(self.batch_id).alias("batch_id"),
            F.lit(self.ingested_at).alias("ingested_at"),
            unit_of(F.col(FILE), self.root).alias("unit"),
        )


@dataclass
class Cleaned:
    """What a batch became. Valid only within the `cleaned` block, which holds the parsed rows.

    Attributes
    ----------
    tables : dict of str to DataFrame
        `events`, `impressions`, `items`, `users`, `robots`: those that the batch has rows for. Among events and
        impressions are stored rows that the batch changes.
    quarantine : DataFrame, optional
        Refused rows with their reasons; None if nothing was read.
    tallies : list of Tally
        Numbers of rows by what became of them.
    since : datetime, optional
        The instant from which on stored events can have keys of this batch.
    taken_back : dict of str to DataFrame
        Keys of stored rows to remove, by table: what units brought that are undone, and do not bring again.
    """

    tables: dict[str, DataFrame]
    quarantine: DataFrame | None
    tallies: list[Tally] = field(default_factory=list)
    since: datetime | None = None
    taken_back: dict[str, DataFrame] = field(default_factory=dict)

    def check(self, *, quarantine_limit: float, duplicate_limit: float) -> None:
        """Stop if too large a share of a table's rows was refused; see `check_shares`."""
        check_shares(self.tallies, quarantine_limit=quarantine_limit, duplicate_limit=duplicate_limit)
