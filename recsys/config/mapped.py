"""What a dataset mapping may bring along: a file of bounded size, and settings that its data calls for.

It may never say where or how jobs run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from recsys.errors import ConfigError
from recsys.ingest.texts import MOST_VALUES

SECTIONS: Final = (
    "clean",
    "check",
    "signal",
    "interests",
    "retrievers",
    "candidates",
    "click_factors",
    "ctr_examples",
    "train_ctr",
    "rank",
    "evaluate",
)
"""Sections that describe data and quality."""

NOT_ITS_BUSINESS: Final = {
    "clean": frozenset(["accept_changed_mapping", "reingest"]),
    "train_ctr": frozenset(
        [
            "launcher",
            "ranks",
            "start_timeout_seconds",
            "stall_timeout_seconds",
            "threads",
            "cache_mb",
            "tensorboard",
        ]
    ),
}
"""Keys of these sections that decide where jobs run and what they use there, or that waive a check of the mapping."""


def require_permitted(settings: Mapping[str, Any], *, where: str) -> None:
    """Check that a mapping sets nothing but what describes its data.

    Parameters
    ----------
    where : str
        The mapping's file.

    Raises
    ------
    ConfigError
        Naming the file and the first other key.
    """
    for section, values in settings.items():
        if section not in SECTIONS:
            raise _refused(where, section, f"it may set {', '.join(SECTIONS)}")
        for key in values if isinstance(values, Mapping) else ():
            if key in NOT_ITS_BUSINESS.get(section, ()):
                raise _refused(where, f"{section}.{key}", "it is for whoever runs the jobs")


def require_small(file: str | Path) -> None:
    """Check how much a mapping holds once its YAML aliases are written out, without writing them out.

    Raises
    ------
    ConfigError
        If it is more than any mapping needs. What else is wrong with the file is left to whoever reads it.
    """
    try:
        root = yaml.compose(Path(file).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        size = _size(root, {}) if root is not None else 0
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    except RecursionError:
        size = MOST_VALUES + 1
    if size > MOST_VALUES:
        raise ConfigError(f"{file}: it has more than {MOST_VALUES:,} keys and values; check its YAML aliases")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below a node, where each alias counts like what it stands for; an alias within itself never ends."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _refused(where: str, key: str, why: str) -> ConfigError:
    return ConfigError(
        f"{where}: a mapping may not set settings.{key}; {why}. Put it into a --config file, or pass --set"
    )
