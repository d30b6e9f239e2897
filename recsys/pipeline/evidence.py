"""What jobs read to compute features: shown lists, and what had been learned at some instants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import functions as F

from recsys import data
from recsys.ctr.click_factors import KIND
from recsys.ctr.serving.bundle import ModelBundle
from recsys.data.instants import instant_of
from recsys.features.shown import ShownLists
from recsys.pipeline.context import Context
from recsys.retrieval import registry
from recsys.retrieval.base import Model
from recsys.store.retrievers import past_fits

READS = (
    data.EVENTS,
    data.IMPRESSIONS,
    data.POSITION_EFFECTS,
    data.USERS,
    data.ITEM_INDEX,
    data.MODELS.of("retriever"),
    data.MODELS.of(KIND),
    *registry.tables(),
)
"""The tables that are read here."""
CONFIG = (
    "ctr_examples.priors",
    "ctr_examples.prior_window_days",
    "ctr_examples.half_life_days",
    "candidates.seen_types",
    "signal",
)
"""The config keys that decide what comes of them, beside the list of the algorithms."""


def shown_lists(context: Context, *, days_back: int) -> ShownLists | None:
    """Read the shown lists that features of taste are made of; None where the config does without them.

    Parameters
    ----------
    days_back : int
        How many days before `as_of` the earliest example may lie.
    """
    x, as_of, warehouse = context.config.ctr_examples, context.as_of, context.warehouse
    if not x.priors:
        return None
    since = as_of - timedelta(days=days_back + x.prior_window_days + 1)
    return ShownLists(
        warehouse.read(data.IMPRESSIONS, before=as_of, since=since, required=False),
        warehouse.read(data.POSITION_EFFECTS, where=data.slice_of(as_of), required=False),
        window_days=x.prior_window_days,
        half_life_days=x.half_life_days,
    )


def fits(context: Context, instants: Sequence[datetime]) -> dict[datetime, list[Model[Any]]]:
    """Read what every retriever had learned at each instant."""
    config = context.config
    return past_fits(
        context.warehouse,
        config.retrievers,
        instants=instants,
        signal=config.signal,
        seen_types=config.candidates.seen_types,
        broadcast_limit_mb=config.spark.broadcast_limit_mb,
    )


def click_factors(context: Context, instants: Sequence[datetime]) -> dict[datetime, ModelBundle]:
    """Read what had been learned of clicks at each instant; an instant without such a fit is left out."""
    warehouse = context.warehouse
    rows = warehouse.read(data.MODELS, where={"kind": KIND, "as_of": list(instants)}, required=False)
    found = rows.select("path", F.unix_micros("as_of").alias("at")).collect()
    return {instant_of(row["at"]): ModelBundle.load(warehouse.path(row["path"])) for row in found}
