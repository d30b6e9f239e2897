"""Keys of earlier versions, under the names that they have today: an error names the new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
    "examples": "ctr_examples",
    "ctr": "train_ctr",
    "ranking": "rank",
    "evaluation": "evaluate",
}
"""Keys that have another name since 0.2.0. A section moves all keys that no entry before it
names; `*` stands for any name."""

NEWER_KEYS = {
    "ctr_examples.label_window_days": "evaluate.horizon_days",
    "ctr_examples.label_types": "evaluate.relevant_types",
    "ctr_examples.origin": "ctr_examples.origins",
    "ctr_examples.valid_share": "ctr_examples.holdout_share",
    "ctr_examples.test_share": "ctr_examples.holdout_share",
    "rank.fit_blend": "train_ctr.heads",
}
"""Keys of 0.3.0 whose part another one has taken: the ranker learns by the rule that lists are judged by."""
_SINCE = (("0.2.0", KEYS), ("0.4.0", NEWER_KEYS))


def moved(path: Sequence[str], value: Any) -> str | None:
    """Say where the keys at an unknown path are today; None if they never existed.

    Parameters
    ----------
    path : sequence of str
        The unknown key.
    value : object
        What it is set to; of a section, each key is named.
    """
    found = []
    for key in _leaves(".".join(path), value):
        new = next(((name, since) for since, keys in _SINCE if (name := _new_name(key, keys))), None)
        if new is None:
            return None
        found.append(f"key {key} is {new[0]} since {new[1]}")
    return f"{'; '.join(found)}; see docs/migration.md" if found else None


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key


def _new_name(key: str, keys: Mapping[str, str]) -> str | None:
    for old, new in keys.items():
        prefix = old.removesuffix("*")
        if old.endswith(".*") and key.startswith(prefix):
            return new.replace("*", key.removeprefix(prefix))
        if key == old or key.startswith(f"{old}."):
            return f"{new}{key.removeprefix(old)}"
    return None
