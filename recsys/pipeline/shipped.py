"""Folders of the project that come with the package: jobs and configuration."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from recsys.errors import ConfigError

ROOT = Path(__file__).parents[2]


def shipped(folder: str) -> Path:
    """Return a folder of the project: beside the package in a clone, a package of its own in an installed wheel.

    Parameters
    ----------
    folder : str
        `jobs` or `conf`.

    Raises
    ------
    ConfigError
        If neither exists.
    """
    if (ROOT / folder).is_dir():
        return ROOT / folder
    found = importlib.util.find_spec(f"recsys_{folder}")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"the project's folder {folder} is missing; install the package again")
    return Path(next(iter(found.submodule_search_locations)))
