"""The resolved config: every room's settings as sections, and the loader."""

from recsys.config.changes import changed_keys, dataset_of
from recsys.config.load import (
    config_json,
    digest,
    load_config,
    load_dataset,
    parse_as_of,
    read_yaml,
    version_of,
)
from recsys.config.root import Config
from recsys.data import stamp

__all__ = [
    "Config",
    "changed_keys",
    "dataset_of",
    "config_json",
    "digest",
    "load_config",
    "load_dataset",
    "parse_as_of",
    "read_yaml",
    "stamp",
    "version_of",
]
