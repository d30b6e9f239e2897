"""Settings: their base, the types of their fields, how layers of them are merged, and how a mistake is told."""

from recsys.settings.base import (
    Identifier,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    Share,
)
from recsys.settings.fields import Day, Entries, OneOf, Unique, instant
from recsys.settings.layers import with_layer
from recsys.settings.names import closest, nearest
from recsys.settings.sentences import CONFLICT, conflict, mistakes, problem, refusal, retold, sentence, whole

__all__ = [
    "CONFLICT",
    "Day",
    "Entries",
    "Identifier",
    "NonNegativeFloat",
    "NonNegativeInt",
    "OneOf",
    "PositiveFloat",
    "PositiveInt",
    "Section",
    "Share",
    "Unique",
    "closest",
    "conflict",
    "instant",
    "mistakes",
    "nearest",
    "problem",
    "refusal",
    "retold",
    "sentence",
    "whole",
    "with_layer",
]
