"""The folder of the real data sets that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("RECSYS_DATA", Path(__file__).parents[3] / "shared" / "data"))
"""A folder with one folder per data set; tests that need it are skipped if it does not exist."""
