"""Findings as rows of `checks`, and the end of a job that they stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pyspark.sql import DataFrame

from recsys import data
from recsys.checks.judge import Finding
from recsys.errors import DataError

WAY_OUT: Final = {
    "volume": "see whether a delivery is missing or came twice",
    "null_share": "fix the source or its mapping",
    "new_values": "map them in the dataset's mapping",
    "known_items": "deliver the catalog of these items",
    "known_users": "deliver the profiles of these users",
    "known_lists": "deliver the shown lists",
    "freshness": "deliver the newest log, or choose an earlier --as-of",
    "quarantined": "fix the source or its mapping",
}
_LIFTED: Final = {"freshness": "check.stop_age_days"}
_SHOWN: Final = 5


def check_rows(findings: Sequence[Finding], *, like: DataFrame, as_of: datetime, run_id: str) -> DataFrame:
    """Rows of `checks`; `like` is any frame of the session."""
    rows = [
        (
            *(as_of, data.stamp(as_of), one.table, one.check, one.subject, one.value, one.expected, one.bound),
            *(one.n, one.status, one.message, run_id),
        )
        for one in findings
    ]
    return like.sparkSession.createDataFrame(rows, data.CHECKS.ddl())


def require(findings: Sequence[Finding], *, as_of: datetime) -> None:
    """Check that no finding stops the job.

    Raises
    ------
    DataError
        Naming of each the table, what it is of, the value, the bound and the way out.
    """
    stopping = [one for one in findings if one.status == "stop"]
    if stopping:
        shown = "; ".join(_sentence(one) for one in stopping[:_SHOWN])
        more = f"; and {len(stopping) - _SHOWN} more" if len(stopping) > _SHOWN else ""
        raise DataError(f"the data before {as_of:%Y-%m-%dT%H:%M:%SZ} did not pass its checks: {shown}{more}")


def _sentence(one: Finding) -> str:
    place = f"{one.table}.{one.subject}" if one.subject else one.table
    lift = _LIFTED.get(one.check, "check.stops")
    return (
        f"{one.check} of {place}: {one.message} ({one.value:.4g}, bound {one.bound:.4g}; {WAY_OUT[one.check]}, "
        f"or change {lift})"
    )
