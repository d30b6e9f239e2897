"""Keys of 0.1.0 under the names that they have since 0.2.0. To be removed in 0.4.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys import progress
from recsys.errors import ConfigError

SECTIONS = {
    "examples": "ctr_examples",
    "ctr": "train_ctr",
    "ranking": "rank",
    "evaluation": "evaluate",
}
"""Sections that only changed their name: the old name is accepted, with a note."""
KEYS = {
    "neighbors.k": "retrievers.neighbors.keep",
    "popular.k": "retrievers.popular.keep",
    "als": "retrievers.als",
    "neighbors": "retrievers.neighbors",
    "popular": "retrievers.popular",
    "candidates.als_k": "retrievers.als.k",
    "candidates.neighbors_k": "retrievers.neighbors.k",
    "candidates.popular_k": "retrievers.popular.k",
    "candidates.recent_items": "retrievers.neighbors.recent_items",
    "candidates.weights.*": "retrievers.*.weight",
    "train_ctr.model": "train_ctr.network.kind",
    "train_ctr.hidden": "train_ctr.network.hidden",
    "train_ctr.dropout": "train_ctr.network.dropout",
    "train_ctr.batch_norm": "train_ctr.network.batch_norm",
}
"""Keys that moved to another section: an error names the new key. A section moves all keys that no entry before it
names; `*` stands for any name."""


def with_new_names(layer: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Give the sections of one layer their names of today, with a note for each that has an old one.

    Raises
    ------
    ConfigError
        If a section is there under both names.
    """
    named = dict(layer)
    for old, new in SECTIONS.items():
        if old not in named:
            continue
        if new in named:
            raise ConfigError(f"{where}: {old} is called {new} since 0.2.0, and both are there; move its keys to {new}")
        named[new] = named.pop(old)
        progress.note(f"{old} is called {new} since 0.2.0; rename it in {where}")
    return named


def moved(path: Sequence[str], value: Any) -> str | None:
    """Say where the keys at an unknown path are since 0.2.0; None if they never existed.

    Parameters
    ----------
    path : sequence of str
        The unknown key.
    value : object
        What it is set to; of a section, each key is named.
    """
    found = []
    for key in _leaves(".".join(path), value):
        new = _new_name(key)
        if new is None:
            return None
        found.append(f"key {key} is {new} since 0.2.0")
    return f"{'; '.join(found)}; see docs/migration.md" if found else None


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key


def _new_name(key: str) -> str | None:
    for old, new in KEYS.items():
        prefix = old.removesuffix("*")
        if old.endswith(".*") and key.startswith(prefix):
            return new.replace("*", key.removeprefix(prefix))
        if key == old or key.startswith(f"{old}."):
            return f"{new}{key.removeprefix(old)}"
    return None
