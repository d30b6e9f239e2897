"""An instant as text: part of the names of versions and files, and what tables are cut by.

Delta reads the value of a timestamp partition in the time zone of the machine's JVM, whatever the session's, and a
machine that is not in UTC would read other instants than it wrote. Text is the same everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from recsys.data.table import Column

AS_OF_KEY: Final = Column(
    "as_of_key",
    "string",
    "as_of as text, 20240508T000000Z; the partition, because a timestamp's value would depend on the JVM's time zone",
    nullable=False,
)


def stamp(as_of: datetime) -> str:
    """Write an instant as text: `20180901T000000Z`, with a fraction only where it has one.

    Raises
    ------
    TypeError
        For an instant without a zone: it could be any.
    """
    if as_of.tzinfo is None:
        raise TypeError(f"no text for {as_of}: an instant needs a zone")
    utc = as_of.astimezone(UTC)
    return f"{utc:%Y%m%dT%H%M%S}{f'.{utc:%f}' if utc.microsecond else ''}Z"


def instant_of(micros: int) -> datetime:
    """Return the instant so many microseconds after 1970 began (`unix_micros`).

    A timestamp that is collected as it is has no zone and shows the driver's local time.
    """
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def slice_of(as_of: datetime) -> dict[str, Any]:
    """Return the condition for the slice that was made for an instant, by its partition."""
    return {AS_OF_KEY.name: stamp(as_of)}
