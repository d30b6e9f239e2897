"""Score the candidates of the day, blend, diversify, apply rules, give reasons.

Reads the slice run_date of `candidates`, the newest ranker of `models`, and what features are made of; writes the
slice run_date of `ranked`, keyed by `run_date, user_id, rank`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from recsys import data
from recsys.ctr.serving.bundle import ModelBundle
from recsys.features import daily
from recsys.pipeline import Context, job
from recsys.progress import note
from recsys.rerank.diversity import Rules, allowed, rerank
from recsys.rerank.lists import RETRIEVAL_ONLY, blend_of, newest_model, ranked_rows, scored_candidates
from recsys.retrieval import registry
from recsys.retrieval.frames import persisted
from recsys.store import Replace, Writes
from recsys.store.retrievers import read_models


@job(
    "rank",
    reads=(
        data.CANDIDATES,
        data.MODELS.of("ranker"),
        data.CTR_EXAMPLES,
        data.EVENTS,
        data.USER_DAILY,
        data.ITEM_DAILY,
        data.ITEMS,
        data.USERS,
        data.MODELS.of("retriever"),
        *registry.tables(),
    ),
    writes=(data.RANKED,),
    config=("rank", "ctr_examples.history_length", "candidates.rrf_k", "retrievers", "signal"),
)
def run(context: Context) -> Writes:
    """Read, score, make lists, explain."""
    config, as_of = context.config, context.as_of
    warehouse, r = context.warehouse, config.rank
    today = {"run_date": as_of.date()}
    model = newest_model(warehouse.read(data.MODELS, required=False), kind="ctr", as_of=as_of)
    bundle = ModelBundle.load(warehouse.path(model["path"])) if model else None
    learned = {**data.slice_of(model["as_of"] if model else as_of), "split": "valid"}
    examples = warehouse.read(registry.examples_table(config.retrievers), where=learned, required=False)
    blend = blend_of(
        examples, bundle=bundle, batch_size=r.batch_size, k=r.k, configured=r.retrieval_weight, fit=r.fit_blend
    )
    note(blend.why)
    events = warehouse.read(data.EVENTS, before=as_of)
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    if bundle:
        first, until = daily.kept_days(as_of, 0), daily.day_of(as_of)
        recent = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
        daily.require_complete(recent, partials, since=first, until=until)
    scored = scored_candidates(
        warehouse.read(data.CANDIDATES, where={**today, "as_of": as_of}),
        bundle=bundle,
        as_of=as_of,
        history_length=config.ctr_examples.history_length,
        batch_size=r.batch_size,
        retrieved=registry.features(config.retrievers),
        events=events,
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=warehouse.read(data.ITEMS, before=as_of, required=False),
        users=warehouse.read(data.USERS, before=as_of, required=False),
    )
    kept = allowed(scored, blocked_items=r.blocked_items, blocked_categories=r.blocked_categories)
    reserve = r.k if bundle else 0
    rules = Rules(r.k, blend.retrieval_weight, r.diversity, r.max_per_category, reserve=reserve)
    lists = context.keep(persisted(rerank(kept, rules=rules)))
    if lists.isEmpty():
        warehouse.require_made(data.CANDIDATES, as_of)
    rows = ranked_rows(
        lists,
        as_of=as_of,
        retrieval_weight=blend.retrieval_weight,
        model_version=model["model_version"] if model else RETRIEVAL_ONLY,
        generated_at=datetime.now(UTC),
        events=events,
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        models=read_models(warehouse, config.retrievers, as_of=as_of, signal=config.signal),
        rank_constant=config.candidates.rrf_k,
    )
    return Writes([Replace(data.RANKED, rows, today)])


if __name__ == "__main__":
    run.main()
