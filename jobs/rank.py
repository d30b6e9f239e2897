"""Score the candidates of the day, blend, diversify, apply rules, give reasons.

Reads the slice run_date of `candidates`, the newest ranker of `models`, and what features are made of; writes the
slice run_date of `ranked`, keyed by `run_date, user_id, rank`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.progress import note
from recsys.ranking.bundle import ModelBundle
from recsys.ranking.lists import RETRIEVAL_ONLY, blend_of, newest_model, ranked_rows, scored_candidates
from recsys.ranking.rerank import Rules, allowed, rerank
from recsys.retrieval.base import persisted
from recsys.runner import Job
from recsys.transforms import daily


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, score, make lists, explain, write."""
    warehouse, r = Warehouse(spark, cfg.warehouse), cfg.ranking
    today = {"run_date": as_of.date()}
    model = newest_model(warehouse.read(tables.MODELS, required=False), kind="ctr", as_of=as_of)
    bundle = ModelBundle.load(model["path"]) if model else None
    learned = {"as_of": model["as_of"] if model else as_of, "split": "valid"}
    examples = warehouse.read(tables.CTR_EXAMPLES, where=learned, required=False)
    blend = blend_of(
        examples, bundle=bundle, batch_size=r.batch_size, k=r.k, configured=r.retrieval_weight, fit=r.fit_blend
    )
    note(blend.why)
    events = warehouse.read(tables.EVENTS, before=as_of)
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    if bundle:
        first, until = daily.kept_days(as_of, 0), daily.day_of(as_of)
        recent = warehouse.read(tables.EVENTS, before=as_of, since=daily.midnight(first))
        daily.require_complete(recent, partials, since=first, until=until)
    scored = scored_candidates(
        warehouse.made_for(tables.CANDIDATES, as_of),
        bundle=bundle,
        as_of=as_of,
        history_length=cfg.examples.history_length,
        batch_size=r.batch_size,
        events=events,
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=warehouse.read(tables.ITEMS, before=as_of, required=False),
        users=warehouse.read(tables.USERS, before=as_of, required=False),
    )
    kept = allowed(scored, blocked_items=r.blocked_items, blocked_categories=r.blocked_categories)
    rules = Rules(r.k, blend.retrieval_weight, r.diversity, r.max_per_category, reserve=r.k if bundle else 0)
    with persisted(rerank(kept, rules=rules)) as lists:
        rows = ranked_rows(
            lists,
            as_of=as_of,
            retrieval_weight=blend.retrieval_weight,
            model_version=model["model_version"] if model else RETRIEVAL_ONLY,
            generated_at=datetime.now(UTC),
            events=events,
            items=warehouse.read(tables.ITEMS, valid_at=as_of, required=False),
            popular=warehouse.read(tables.POPULAR_ITEMS, where={"as_of": as_of}, required=False),
            weights=cfg.candidates.weights,
            rank_constant=cfg.candidates.rrf_k,
        )
        warehouse.replace(tables.RANKED, rows, where=today)


JOB = Job(
    "rank",
    run,
    doc=__doc__,
    reads=(
        tables.CANDIDATES,
        tables.MODELS,
        tables.CTR_EXAMPLES,
        tables.EVENTS,
        tables.USER_DAILY,
        tables.ITEM_DAILY,
        tables.ITEMS,
        tables.USERS,
        tables.POPULAR_ITEMS,
    ),
    writes=(tables.RANKED,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
