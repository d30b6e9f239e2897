"""The contract of every table that the project writes: columns, types, key, partitions, checks, retention.

A table is a value: jobs, tests, notebooks, the SQL documentation and feature specs read it from here.
"""

from __future__ import annotations

from typing import Final

from recsys.data.checks import CHECK_STATUSES, CHECKS, FEATURE_STATS
from recsys.data.entities import ITEM_INDEX, ITEMS, USER_INDEX, USERS
from recsys.data.examples import (
    CTR_EXAMPLES,
    EXAMPLE_FEATURES,
    AttributeFeature,
    RetrieverFeature,
    ctr_examples,
    example_columns,
)
from recsys.data.features import (
    ITEM_DAILY,
    ITEM_FEATURES,
    POSITION_EFFECTS,
    USER_DAILY,
    USER_FEATURES,
    USER_INTERESTS,
)
from recsys.data.instants import AS_OF_KEY, slice_of, stamp
from recsys.data.lists import CANDIDATES, INPUT_SKEW, RANKED, RECOMMENDATIONS
from recsys.data.logs import EVENTS, IMPRESSIONS, INGESTED, QUARANTINE, ROBOTS
from recsys.data.runs import BACKTESTS, METRICS, MODELS, RUNS, SOURCE_OVERLAP
from recsys.data.table import CONTRACT_VERSION, Column, Table, TablePart
from recsys.data.vocabulary import (
    ALL_TYPES,
    ANONYMOUS_PREFIX,
    COUNTED_EVENTS,
    EVENT_TYPES,
    FEATURE_WINDOWS,
    EventType,
    EventTypes,
    EventTypesOrAll,
)

ALL: Final[tuple[Table, ...]] = (
    EVENTS,
    IMPRESSIONS,
    QUARANTINE,
    INGESTED,
    ROBOTS,
    CHECKS,
    ITEMS,
    USERS,
    USER_INDEX,
    ITEM_INDEX,
    USER_DAILY,
    ITEM_DAILY,
    USER_FEATURES,
    ITEM_FEATURES,
    POSITION_EFFECTS,
    USER_INTERESTS,
    CANDIDATES,
    CTR_EXAMPLES,
    MODELS,
    FEATURE_STATS,
    INPUT_SKEW,
    RANKED,
    RECOMMENDATIONS,
    METRICS,
    SOURCE_OVERLAP,
    BACKTESTS,
    RUNS,
)
"""Every contract but those of the retrievers' tables, which come with the retrievers: `recsys.retrieval.registry`."""

BY_NAME: Final[dict[str, Table]] = {table.name: table for table in ALL}

__all__ = [
    "ALL",
    "ALL_TYPES",
    "ANONYMOUS_PREFIX",
    "AS_OF_KEY",
    "AttributeFeature",
    "BACKTESTS",
    "BY_NAME",
    "CANDIDATES",
    "CHECKS",
    "CHECK_STATUSES",
    "CONTRACT_VERSION",
    "COUNTED_EVENTS",
    "CTR_EXAMPLES",
    "Column",
    "EVENTS",
    "EVENT_TYPES",
    "EventType",
    "EventTypes",
    "EventTypesOrAll",
    "EXAMPLE_FEATURES",
    "FEATURE_STATS",
    "FEATURE_WINDOWS",
    "IMPRESSIONS",
    "INGESTED",
    "INPUT_SKEW",
    "ITEMS",
    "ITEM_DAILY",
    "ITEM_FEATURES",
    "ITEM_INDEX",
    "METRICS",
    "MODELS",
    "POSITION_EFFECTS",
    "QUARANTINE",
    "RANKED",
    "RECOMMENDATIONS",
    "ROBOTS",
    "RUNS",
    "SOURCE_OVERLAP",
    "RetrieverFeature",
    "Table",
    "TablePart",
    "USERS",
    "USER_DAILY",
    "USER_FEATURES",
    "USER_INDEX",
    "USER_INTERESTS",
    "ctr_examples",
    "example_columns",
    "slice_of",
    "stamp",
]
