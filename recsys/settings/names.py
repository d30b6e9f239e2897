"""Names that are not known, and the known one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 20
"""Names that a sentence can hold."""


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name most like a word, whatever its case, spaces and underscores; None if none is close.

    >>> closest("Purchased", ["view", "purchase"])
    'purchase'
    """
    plain: dict[str, str] = {}
    for name in known:
        plain.setdefault(_plain(name), name)
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """Ask for the nearest of the known names, or list them (the first 20) after the words of `otherwise`.

    >>> nearest("purchased", ["view", "purchase"], "known are")
    'did you mean purchase?'
    >>> nearest("x", ["view", "purchase"], "known are")
    'known are view, purchase'
    """
    names = list(known)
    close = closest(word, names)
    listed = [*names[:_LISTED], *(["…"] if len(names) > _LISTED else [])]
    return f"did you mean {close}?" if close else f"{otherwise} {', '.join(listed) or 'none'}"


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "")
