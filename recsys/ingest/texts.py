"""The first look at a mapping: no text that Spark would substitute, no hidden characters, no YAML bomb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final

from pydantic import BaseModel

from recsys.ingest.literals import SUBSTITUTION, control_character

MOST_VALUES: Final = 100_000
"""Keys and values of a mapping; YAML aliases can multiply them without end."""
DEEPEST: Final = 50
"""Levels of a mapping within each other."""
_NO_TEXTS: Final = (
    *("literal", "header", "multiline", "observations", "optional", "max_list_length", "as_written", "fill", "flag"),
    "changes",
    "late_after_days",
)
"""Keys whose value need not be a text."""
_SCALARS: Final = (
    (bool, "yes or no"),
    ((int, float), "a number"),
    ((date, time), "a date or a time"),
    (type(None), "nothing"),
)
"""What YAML makes of words that are not in quotes, and how that is called; the first that fits."""
_ANY_CHARACTER: Final = ("separator", "quote", "escape")
"""Keys whose value may be a control character, as Hive's separator is."""


def check_texts(value: Any) -> None:
    """Check every text of a mapping, keys included, at any depth.

    Raises
    ------
    ValueError
        Naming the first place with `${`, which Spark would replace by a variable, or with a control character.
    """
    for count, (place, found) in enumerate(_texts(value, ())):
        where = ".".join(place) or "the mapping"
        text = found if isinstance(found, str) else None
        if count > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} keys and values; check its YAML aliases")
        if len(place) > DEEPEST:
            raise ValueError(f"{where[:60]}… is nested more than {DEEPEST} deep; check its YAML aliases")
        _refuse_scalar(place, found, where)
        if text is None:
            continue
        if SUBSTITUTION in text:
            raise ValueError(f"{where} holds {SUBSTITUTION}, which Spark would replace by a variable; write the value")
        control = control_character(text)
        if control and (not place or place[-1] not in _ANY_CHARACTER or "\0" in text):
            raise ValueError(f"{where} holds the control character {control}; remove it")


def _refuse_scalar(place: tuple[str, ...], found: Any, where: str) -> None:
    """Refuse what YAML took for a number, a date, true or false where a text is meant; a key comes as a `_Key`.

    Raises
    ------
    ValueError
        With the way to write it.
    """
    key = isinstance(found, _Key)
    plain = found.name if isinstance(found, _Key) else found
    words = next((say for kind, say in _SCALARS if isinstance(plain, kind)), None)
    names = [part for part in place if not part.isdigit()]
    if words is None or names[:1] == ["settings"] or (plain is None and not key):
        return
    number = names[-1:] and (names[-1] in _NO_TEXTS or names[-2:-1] == ["rates"])
    if not key and number and not isinstance(plain, (date, time)):
        return
    shown = str(plain).lower() if isinstance(plain, (bool, type(None))) else str(plain)
    quoted = "the word as it was written" if isinstance(plain, (bool, type(None))) else f"{shown!r}"
    what = f"has the key {shown}" if key else f"is {shown}"
    raise ValueError(f"{where} {what}, which YAML reads as {words}; put it in quotes: {quoted}")


@dataclass(frozen=True)
class _Key:
    """The name of an entry that is no text."""

    name: Any


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key and every value that is no container, with its place."""
    waiting: list[tuple[tuple[str, ...], Any]] = [(place, value)]
    while waiting:
        here, found = waiting.pop()
        plain = found.model_dump() if isinstance(found, BaseModel) else found
        yield here, plain
        if isinstance(plain, Mapping):
            for key, inner in plain.items():
                yield here, key if isinstance(key, str) else _Key(key)
                waiting.append(((*here, str(key)), inner))
        elif isinstance(plain, (list, tuple)):
            waiting += [((*here, str(at)), inner) for at, inner in enumerate(plain)]
