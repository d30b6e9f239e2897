"""Typed, strict, frozen configuration: sections, dataset mappings and the loader."""

from recsys.config.dataset import MAPPED_TABLES, ColumnMapping, Dataset, Source, SourceFormat
from recsys.config.load import (
    config_hash,
    config_json,
    load_config,
    load_dataset,
    parse_as_of,
    read_yaml,
    stamp,
    version_of,
)
from recsys.config.root import Config
from recsys.config.sections import InputSpec, Section

__all__ = [
    "MAPPED_TABLES",
    "ColumnMapping",
    "Config",
    "Dataset",
    "InputSpec",
    "Section",
    "Source",
    "SourceFormat",
    "config_hash",
    "config_json",
    "load_config",
    "load_dataset",
    "parse_as_of",
    "read_yaml",
    "stamp",
    "version_of",
]
