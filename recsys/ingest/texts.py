"""The first look at a mapping: no text that Spark would substitute, no hidden characters, no YAML bomb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from recsys.ingest.literals import SUBSTITUTION, control_character

MOST_VALUES: Final = 100_000
"""Keys and values of a mapping; YAML aliases can multiply them without end."""
DEEPEST: Final = 50
"""Levels of a mapping within each other."""
_ANY_CHARACTER: Final = ("separator", "quote", "escape")
"""Keys whose value may be a control character, as Hive's separator is."""


def check_texts(value: Any) -> None:
    """Check every text of a mapping, keys included, at any depth.

    Raises
    ------
    ValueError
        Naming the first place with `${`, which Spark would replace by a variable, or with a control character.
    """
    for count, (place, text) in enumerate(_texts(value, ())):
        where = ".".join(place) or "the mapping"
        if count > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} keys and values; check its YAML aliases")
        if len(place) > DEEPEST:
            raise ValueError(f"{where[:60]}… is nested more than {DEEPEST} deep; check its YAML aliases")
        if text is None:
            continue
        if SUBSTITUTION in text:
            raise ValueError(f"{where} holds {SUBSTITUTION}, which Spark would replace by a variable; write the value")
        control = control_character(text)
        if control and (not place or place[-1] not in _ANY_CHARACTER or "\0" in text):
            raise ValueError(f"{where} holds the control character {control}; remove it")


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Every key and every value with its place; None for what is no text."""
    waiting: list[tuple[tuple[str, ...], Any]] = [(place, value)]
    while waiting:
        here, found = waiting.pop()
        plain = found.model_dump() if isinstance(found, BaseModel) else found
        yield here, plain if isinstance(plain, str) else None
        if isinstance(plain, Mapping):
            for key, inner in plain.items():
                yield here, key if isinstance(key, str) else None
                waiting.append(((*here, str(key)), inner))
        elif isinstance(plain, (list, tuple)):
            waiting += [((*here, str(at)), inner) for at, inner in enumerate(plain)]
