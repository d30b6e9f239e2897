"""The figures of a fitted spec as rows that SQL can read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import DataFrame

from recsys import data
from recsys.ctr.inputs.spec import FittedInput, FittedSpec

Figure = tuple[str, str, str, float]
"""Input, column, statistic and value."""


def figures(spec: FittedSpec) -> list[Figure]:
    """Return what was fitted of each input: its scale and its distribution, in the order of the inputs.

    Vocabularies and vectors have a share of nulls alone.
    """
    profiles = {profile.name: profile for profile in spec.profiles}
    found: list[Figure] = []
    for item in spec.inputs:
        values = _scale(item)
        profile = profiles.get(item.name)
        if profile is not None:
            edges = {f"edge_{place}": edge for place, edge in enumerate(profile.edges, start=1)}
            values = {"null_share": profile.shares[0], **values, **edges}
        found += [(item.name, item.source, statistic, float(value)) for statistic, value in values.items()]
    return found


def _scale(item: FittedInput) -> dict[str, float]:
    if item.kind != "numeric" or item.table is not None:
        return {}
    center = {} if item.transform == "quantile" else {"center": item.mean, "scale": item.std}
    optional = {"low": item.low, "high": item.high, "fill": item.fill}
    by_group = {f"fill of {group}": fill for group, fill in zip(item.groups, item.fills, strict=True)}
    return center | {name: value for name, value in optional.items() if value is not None} | by_group


def feature_stats(specs: Mapping[str, FittedSpec], *, like: DataFrame, as_of: datetime, version: str) -> DataFrame:
    """Rows of `feature_stats` of a ranker: the figures of each head's spec; `like` is any frame of the session."""
    rows = [
        (as_of, data.stamp(as_of), version, head, *figure) for head, spec in specs.items() for figure in figures(spec)
    ]
    return like.sparkSession.createDataFrame(rows, data.FEATURE_STATS.ddl())
