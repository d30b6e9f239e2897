"""Score the candidates of the day, order, diversify, apply rules, give reasons.

Reads the slice run_date of `candidates`, the newest ranker of `models`, and what features are made of; writes the
slices run_date of `ranked`, keyed by `run_date, user_id, rank`, and of `input_skew`, keyed by `run_date, head, input`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame

from recsys import data
from recsys.ctr.click_factors import with_click_affinity
from recsys.ctr.heads import Heads
from recsys.features import daily
from recsys.pipeline import Context, evidence, job
from recsys.progress import note, step
from recsys.rerank.diversity import Rules, allowed, rerank
from recsys.rerank.lists import (
    RETRIEVAL_ONLY,
    featured_candidates,
    newest_model,
    ranked_rows,
    retrieval_weight_of,
    scored_candidates,
    skew_rows,
)
from recsys.retrieval import registry
from recsys.retrieval.base import Model
from recsys.retrieval.frames import persisted, persisting
from recsys.retrieval.past import with_features_of
from recsys.store import Clear, Replace, Write, Writes


@job(
    "rank",
    reads=(
        *evidence.READS,
        data.CANDIDATES,
        data.MODELS.of("ranker"),
        data.USER_DAILY,
        data.ITEM_DAILY,
        data.ITEMS,
    ),
    writes=(data.INPUT_SKEW, data.RANKED),
    config=(
        *evidence.CONFIG,
        "retrievers",
        "rank",
        "ctr_examples.history_length",
        "ctr_examples.attributes",
        "candidates.rrf_k",
    ),
)
def run(context: Context) -> Writes:
    """Read, score, make lists, explain."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    r, today = config.rank, {"run_date": as_of.date()}
    model = newest_model(warehouse.read(data.MODELS, required=False), kind=registry.RANKER, as_of=as_of)
    heads = Heads.load(warehouse.path(model["path"])) if model else None
    retrieval_weight, why = retrieval_weight_of(heads, configured=r.retrieval_weight)
    note(why)
    ranker = heads if heads and heads.choice.used else None
    version = model["model_version"] if model and ranker else RETRIEVAL_ONLY
    models = evidence.fits(context, (as_of,))[as_of]
    featured = candidates_of_the_day(context, ranker, models)
    writes: list[Write] = [Clear(data.INPUT_SKEW, today)]
    if ranker:
        # Read twice: by the comparison with the training rows, and to be scored.
        featured = context.scratch()(featured)
        with step("compare with the training rows"):
            differing = skew_rows(featured, ranker, as_of=as_of, model_version=version, max_psi=r.max_psi)
        writes = [Replace(data.INPUT_SKEW, differing, today)]
    scored = scored_candidates(featured, heads=ranker, batch_size=r.batch_size)
    kept = allowed(scored, blocked_items=r.blocked_items, blocked_categories=r.blocked_categories)
    rules = Rules(r.k, retrieval_weight, r.diversity, r.max_per_category, reserve=r.k if ranker else 0)
    lists = context.keep(persisted(rerank(kept, rules=rules)))
    if lists.isEmpty():
        warehouse.require_made(data.CANDIDATES, as_of)
    rows = ranked_rows(
        lists,
        as_of=as_of,
        retrieval_weight=retrieval_weight,
        model_version=version,
        generated_at=datetime.now(UTC),
        events=warehouse.read(data.EVENTS, before=as_of),
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        models=models,
        rank_constant=config.candidates.rrf_k,
    )
    return Writes([*writes, Replace(data.RANKED, rows, today)])


def candidates_of_the_day(context: Context, ranker: Heads | None, models: Sequence[Model[Any]]) -> DataFrame:
    """Compute the features of the candidates."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    x, offered = config.ctr_examples, registry.features(config.retrievers)
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    if ranker:
        first, until = daily.kept_days(as_of, 0), daily.day_of(as_of)
        recent = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
        daily.require_complete(recent, partials, since=first, until=until)
    items = warehouse.read(data.ITEMS, before=as_of, required=False)
    retrieval = with_features_of(models if ranker else (), offered)
    factors = evidence.click_factors(context, (as_of,)) if ranker else {}

    def with_scores(pairs: DataFrame) -> DataFrame:
        return with_click_affinity(retrieval(pairs), factors, items)

    return featured_candidates(
        warehouse.read(data.CANDIDATES, where={"run_date": as_of.date(), "as_of": as_of}),
        heads=ranker,
        with_scores=with_scores,
        as_of=as_of,
        history_length=x.history_length,
        retrieved=offered,
        shown=evidence.shown_lists(context, days_back=0) if ranker else None,
        attributes=[one.feature for one in x.attributes],
        events=warehouse.read(data.EVENTS, before=as_of),
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=items,
        users=warehouse.read(data.USERS, before=as_of, required=False),
        keep=context.keep(persisting()),
    )


if __name__ == "__main__":
    run.main()
