"""What a config sets otherwise than the defaults, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from recsys.config.load import config_json
from recsys.config.root import Config

_LONGEST = 120
_SKIPPED = "dataset"
"""The mapping of the data set is a file of its own; its name says enough."""


def changed_keys(resolved: str) -> list[tuple[str, str]]:
    """Return the dotted keys of a config that differ from the defaults, with their values.

    Parameters
    ----------
    resolved : str
        A config as JSON without secrets: `config_json`.
    """
    now, default = (dict(_leaves(json.loads(text))) for text in (resolved, config_json(Config())))
    changed = {key: value for key, value in now.items() if default.get(key, ...) != value}
    return [(key, _short(value)) for key, value in sorted(changed.items()) if key.split(".")[0] != _SKIPPED]


def dataset_of(resolved: str) -> str:
    """Return the name of the data set's mapping in a config as JSON; empty without one."""
    mapping: dict[str, str] = json.loads(resolved).get(_SKIPPED) or {}
    return mapping.get("name", "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; entries of a list go by their names where they have some."""
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
        value = {entry["name"]: entry for entry in value}
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, part in value.items():
        yield from _leaves(part, f"{path}.{key}" if path else key)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
