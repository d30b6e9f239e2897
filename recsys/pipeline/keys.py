"""The config keys that decide a job's result: what the job may read, and what its "up to date" depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from recsys.config import Config, digest
from recsys.environment import Environment
from recsys.settings import Section

ALWAYS = tuple(Environment.model_fields)
"""Sections that say where things run and are stored. Every job may read them; they never change a result."""


@dataclass(frozen=True)
class Part:
    """A key of which only a part decides the result.

    Attributes
    ----------
    key : str
        Dotted name of the key; the job may read all of it.
    of : callable
        Returns the part that decides the result, as plain values.
    """

    key: str
    of: Callable[[Any], Any]


Key = str | Part


class Permitted:
    """A config that lets a job read the keys it declares, and no other.

    So a key that is not declared can't change a result, and a declared one makes the job run again.
    """

    def __init__(self, section: Section, keys: Sequence[str], job: str, prefix: str = "") -> None:
        self._section, self._keys, self._job, self._prefix = section, keys, job, prefix

    def __getattr__(self, name: str) -> Any:
        """Return a declared value, or a section that holds one.

        Raises
        ------
        AttributeError
            If the job does not declare the key.
        """
        value, path = getattr(self._section, name), f"{self._prefix}{name}"
        if any(path == key or path.startswith(f"{key}.") for key in self._keys):
            return value
        if any(key.startswith(f"{path}.") for key in self._keys):
            return Permitted(value, self._keys, self._job, f"{path}.")
        raise AttributeError(f"the job {self._job} reads the config key {path}, which its @job does not declare")


def permitted(config: Config, keys: Sequence[Key], *, job: str) -> Config:
    """Return the config limited to what a job may read."""
    names = [*ALWAYS, *(key.key if isinstance(key, Part) else key for key in keys)]
    return cast(Config, Permitted(config, names, job))


def keys_hash(config: Config, keys: Sequence[Key]) -> str:
    """Hash the values of the keys that decide a job's result."""
    values = {}
    for key in keys:
        part = key if isinstance(key, Part) else Part(key, _plain)
        values[part.key] = part.of(_value(config, part.key))
    return digest(values)[:16]


def _value(config: Config, key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value
