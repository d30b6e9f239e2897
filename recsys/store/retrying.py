"""Tries an action again when another writer's commit got in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_TRIES = 8


def retrying(action: Callable[[], T]) -> T:
    """Run an action until no other commit gets in between; the last conflict is raised."""
    last: Exception | None = None
    for _ in attempts():
        try:
            return action()
        except Exception as error:
            if not is_conflict(error):
                raise
            last = error
    assert last is not None
    raise last


def attempts() -> Iterator[int]:
    """Yield attempts, with a pause that grows and differs between rivals."""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(random.uniform(0, 0.2 * 2**attempt))
        yield attempt


def is_conflict(error: Exception) -> bool:
    """Tell whether a write lost against another commit and may be tried again."""
    text = str(error)
    return (
        "Concurrent" in type(error).__name__
        or "io.delta.exceptions.Concurrent" in text
        or "DELTA_CONCURRENT_" in text
        or "ProtocolChangedException" in text
        or "MetadataChangedException" in text
    )
