"""Fitted retrievers in the warehouse: the slices of their tables, and the rows of `models` that make fits visible."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame

from recsys import data
from recsys.config import version_of
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.blend import Blend
from recsys.retrieval.interactions import pairs
from recsys.retrieval.settings import SignalSettings
from recsys.store.models import stamped, version_row
from recsys.store.warehouse import PinnedWarehouse
from recsys.store.writes import Clear, Replace, Write

Fit = tuple[Retriever, Model[Any] | None]
"""A retriever and what it learned; None where it found too little to learn from."""


def version_for(retriever: Retriever, as_of: datetime, signal: SignalSettings) -> str:
    """Name a retriever's fit for an instant by all that decides it."""
    return version_of(retriever.name, as_of, retriever.fit_settings(), signal)


def writes_of(
    warehouse: PinnedWarehouse, fits: Sequence[Fit], *, as_of: datetime, signal: SignalSettings, config: str
) -> list[Write]:
    """Say what replaces the fits of an instant: hidden first, then written, then made visible together.

    A fit is visible while its row of `models` is there. What a retriever without a new fit has learned before goes.

    Parameters
    ----------
    config : str
        Resolved config as JSON.
    """
    versions = {retriever.name: version_for(retriever, as_of, signal) for retriever, _ in fits}
    writes: list[Write] = [Clear(data.MODELS, {"model_version": list(versions.values())})]
    rows: list[DataFrame] = []
    for retriever, model in fits:
        version = versions[retriever.name]
        for name, table in retriever.tables.items():
            where = retriever.slice(table, as_of=as_of, version=version)
            if model is None:
                writes.append(Clear(table, where))
            else:
                writes.append(Replace(table, stamped(model.frames[name], {"as_of": as_of, **where}), where))
        if model is not None:
            rows.append(
                version_row(
                    warehouse.spark,
                    version=version,
                    kind=retriever.kind,
                    as_of=as_of,
                    config=config,
                    metrics=model.metrics,
                    data_versions=warehouse.reads,
                )
            )
    if rows:
        fitted = [versions[retriever.name] for retriever, model in fits if model is not None]
        writes.append(Replace(data.MODELS, reduce(DataFrame.unionByName, rows), {"model_version": fitted}))
    return writes


def read_models(
    warehouse: PinnedWarehouse,
    retrievers: Sequence[Retriever],
    *,
    as_of: datetime,
    signal: SignalSettings,
    audience: Audience | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> list[Model[Any]]:
    """Return the models of the retrievers that have a fit for this instant and these settings."""
    versions = {version_for(retriever, as_of, signal): retriever for retriever in retrievers}
    rows = warehouse.read(data.MODELS, where={"model_version": list(versions)}, required=False)
    visible = {row["model_version"] for row in rows.select("model_version").collect()}
    return [
        retriever.model(
            retriever,
            {
                name: warehouse.read(table, where=retriever.slice(table, as_of=as_of, version=version), required=False)
                for name, table in retriever.tables.items()
            },
            audience,
            broadcast_limit_mb=broadcast_limit_mb,
        )
        for version, retriever in versions.items()
        if version in visible
    ]


def fitted_blend(warehouse: PinnedWarehouse, *, as_of: datetime, names: Sequence[str]) -> Blend | None:
    """Return the weights that were fitted for an instant; None where there are none for these retrievers."""
    where = {"kind": registry.FUSION, "as_of": as_of}
    row = warehouse.read(data.MODELS, where=where, required=False).select("metrics").first()
    if row is None:
        return None
    found = Blend.from_figures(row["metrics"])
    return found if found.covers(names) else None


def past_fits(
    warehouse: PinnedWarehouse,
    retrievers: Sequence[Retriever],
    *,
    instants: Sequence[datetime],
    signal: SignalSettings,
    seen_types: Sequence[str],
    broadcast_limit_mb: float,
) -> dict[datetime, list[Model[Any]]]:
    """Return the models of each instant, each with the people and histories of that instant.

    Parameters
    ----------
    instants : sequence of datetime
        An instant without fits has an empty list.
    """
    index = warehouse.read(data.ITEM_INDEX, required=False)
    found = {}
    for at in instants:
        events = warehouse.read(data.EVENTS, before=at)
        audience = Audience(
            people=known_users(events, warehouse.read(data.USERS, valid_at=at, required=False), as_of=at),
            histories=pairs(events, as_of=at, signal=signal, seen_types=seen_types),
            item_index=index,
        )
        found[at] = read_models(
            warehouse,
            retrievers,
            as_of=at,
            signal=signal,
            audience=audience,
            broadcast_limit_mb=broadcast_limit_mb,
        )
    return found
