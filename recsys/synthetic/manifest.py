"""What a generated shop holds, as counted while it was written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from recsys.synthetic.config import ShopConfig

MANIFEST_NAME = "manifest.json"


class Manifest(BaseModel):
    """The contents of ``manifest.json``. File kinds are ``events, impressions, catalog, profiles``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    seed: int
    config: ShopConfig
    start: date
    end: date = Field(description="day after the last day of the log")
    days: int
    rows: dict[str, int] = Field(description="lines per file kind; also shown_items and truth")
    clean_rows: dict[str, int] = Field(description="lines per file kind without a defect")
    defects: dict[str, dict[str, int]] = Field(description="lines per file kind and defect")
    informational: dict[str, int] = Field(description="odd but clean lines, by name")
    event_types: dict[str, int] = Field(description="clean event lines per raw type")
    anonymous_events: int = Field(description="clean event lines without a user id")
    bots: dict[str, int] = Field(description="users that are bots, and their clean event lines")
    distinct: dict[str, int] = Field(description="people, and items shown, in the truth sample")
    cold: dict[str, int] = Field(
        description="users whose first list in the truth sample is in the last cold_days (somewhat too many above 5 M "
        "events, where the sample is not complete), items added during the log"
    )
    auc: dict[str, float] = Field(description="truth, relevance, popularity; sample: share of lists used")
    ctr: float = Field(description="clicks per shown item, bots excluded")

    def save(self, out_dir: str) -> None:
        """Write the manifest next to the logs; done last, so that its presence marks a complete shop."""
        (Path(out_dir) / MANIFEST_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def withdraw(out_dir: str) -> None:
        """Remove the manifest of an earlier shop, so that an interrupted run leaves none."""
        (Path(out_dir) / MANIFEST_NAME).unlink(missing_ok=True)

    @classmethod
    def load(cls, out_dir: str) -> Manifest:
        """Read the manifest of a shop."""
        return cls.model_validate_json((Path(out_dir) / MANIFEST_NAME).read_text(encoding="utf-8"))
