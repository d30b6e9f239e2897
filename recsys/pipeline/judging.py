"""What the evaluation of an instant reads from the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pyspark.sql import DataFrame

from recsys import data
from recsys.config import Config
from recsys.evaluation.baseline import OVERALL, overall
from recsys.evaluation.day import Day
from recsys.evaluation.judged import Judged
from recsys.evaluation.stages import Stages
from recsys.pipeline.context import Context
from recsys.publishing.gates import seen_pairs
from recsys.rerank.lists import RETRIEVAL_ONLY, newest_model
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience
from recsys.retrieval.interactions import pairs
from recsys.store.retrievers import read_models

READS: tuple[data.Table | data.TablePart, ...] = (
    data.EVENTS,
    data.IMPRESSIONS,
    data.POSITION_EFFECTS,
    data.CANDIDATES,
    data.RANKED,
    data.RECOMMENDATIONS,
    data.ITEMS,
    data.USERS,
    data.ITEM_INDEX,
    data.MODELS.of("retriever"),
    *registry.tables(),
    data.MODELS.of("ranker"),
)
"""The tables that `read_day` reads."""


def judged_day(context: Context, keep: Callable[[DataFrame], DataFrame]) -> Judged:
    """Read a day and work out its truth, users and lists; see `Judged.of`."""
    asked = context.config.candidates
    return Judged.of(
        read_day(context),
        context.config.evaluate,
        include_anonymous=asked.include_anonymous,
        exclude_unavailable=asked.exclude_unavailable,
        keep=keep,
    )


def read_day(context: Context) -> Day:
    """Read what the evaluation of a day needs."""
    config, as_of = context.config, context.as_of
    warehouse, today = context.warehouse, {"run_date": as_of.date(), "as_of": as_of}
    until = as_of + timedelta(days=config.evaluate.horizon_days)
    past = warehouse.read(data.EVENTS, before=as_of)
    seen = seen_pairs(past, as_of=as_of, seen_types=config.candidates.seen_types)
    users = warehouse.read(data.USERS, valid_at=as_of, required=False)
    audience = Audience(
        people=users.select("user_id", "segment"),
        histories=pairs(past, as_of=as_of, signal=config.signal, seen_types=config.candidates.seen_types),
        item_index=warehouse.read(data.ITEM_INDEX, required=False),
    )
    impressions = warehouse.read(data.IMPRESSIONS, before=until, required=False)
    alone = registry.baseline(config.retrievers)
    fitted = read_models(warehouse, [alone], as_of=as_of, signal=config.signal, audience=audience) if alone else []
    models = [one for model in fitted for one in (model, overall(model))]
    stages = stages_of(config) if fitted else replace(stages_of(config), more_baselines=())
    final = warehouse.read(data.RECOMMENDATIONS, where=today)
    return Day(
        as_of=as_of,
        events=warehouse.read(data.EVENTS, before=until),
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        users=users,
        candidates=warehouse.read(data.CANDIDATES, where=today),
        ranked=warehouse.read(data.RANKED, where=today),
        final=final,
        stages=stages,
        baselines=dict(zip(stages.baselines, models, strict=False)),
        seen=seen if config.candidates.exclude_seen else None,
        model=_ranker(context, final),
        impressions=None if impressions.isEmpty() else impressions,
        effects=position_effects(context),
    )


def _ranker(context: Context, final: DataFrame) -> Mapping[str, Any] | None:
    """The row of the ranker that made the lists; where none did, of the newest one, which was not used."""
    first = final.select("model_version").first()
    version = None if first is None or first["model_version"] == RETRIEVAL_ONLY else first["model_version"]
    models = context.warehouse.read(data.MODELS, required=False)
    return newest_model(models, kind=registry.RANKER, as_of=context.as_of, version=version)


def stages_of(config: Config) -> Stages:
    """What is judged under a config: popularity as the retriever gives it and, beside it, the same for everybody."""
    names = tuple(one.name for one in config.retrievers)
    alone = registry.baseline(config.retrievers)
    everybody = f"{alone.name}_{OVERALL}" if alone else ""
    more = (everybody,) if alone and everybody not in names else ()
    return Stages(names, alone.name if alone else None, more_baselines=more)


def position_effects(context: Context) -> DataFrame | None:
    """How much each position of a shown list is looked at, as it was estimated for the instant; None without it."""
    found = context.warehouse.read(data.POSITION_EFFECTS, where=data.slice_of(context.as_of), required=False)
    return None if found.isEmpty() else found
