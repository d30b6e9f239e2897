"""Make labeled examples with point-in-time features, and export them as Parquet shards.

Reads the candidates of past instants, which are put in the order of today's weights, and what was taken up after them,
shown lists, events, daily partials, items and users before `as_of`; writes the slice `as_of` of `ctr_examples`, keyed
by `as_of, example_id`, and a snapshot of each origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame

from recsys import data
from recsys.config import stamp
from recsys.ctr.click_factors import KIND, with_click_affinity
from recsys.errors import NothingToDo
from recsys.features import daily, examples, sampling
from recsys.features.choosing import choose
from recsys.features.example_features import example_features
from recsys.features.ladder import days_back, ladder
from recsys.pipeline import Context, evidence, job
from recsys.progress import note
from recsys.retrieval import registry
from recsys.retrieval.frames import persisted, persisting
from recsys.retrieval.ordering import reordered
from recsys.retrieval.past import with_past_features
from recsys.store import Clear, Replace, Writes
from recsys.store.retrievers import fitted_blend
from recsys.store.snapshot import MANIFEST, export_by_origin


@job(
    "ctr_examples",
    reads=(
        *evidence.READS,
        data.CANDIDATES,
        data.MODELS.of(registry.FUSION),
        data.USER_DAILY,
        data.ITEM_DAILY,
        data.ITEMS,
    ),
    writes=(data.CTR_EXAMPLES,),
    config=(
        *evidence.CONFIG,
        "retrievers",
        "ctr_examples",
        "evaluate.horizon_days",
        "evaluate.relevant_types",
        "evaluate.min_value",
    ),
    earlier=(data.CANDIDATES, data.MODELS.of(KIND)),
)
def run(context: Context) -> Writes:
    """Label, sample, compute features, split."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    x, horizon = config.ctr_examples, config.evaluate.horizon_days
    table = registry.examples_table(config.retrievers, x.attribute_features)
    steps = {"horizon_days": horizon, "instants": x.instants, "cadence_days": x.cadence_days}
    rungs, reach = ladder(as_of, **steps), days_back(window_days=x.window_days, **steps)
    first = daily.kept_days(as_of, reach)
    events = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    daily.require_complete(events, partials, since=first, until=daily.day_of(as_of))
    try:
        chosen = choose(labeled(context, events, rungs), settings=x, rungs=rungs)
    except NothingToDo as why:
        # Examples of another config must not be taken for this one's.
        return Writes([Clear(table, data.slice_of(as_of))], nothing=str(why))
    keep, written = context.keep(persisting()), context.scratch()
    offered = registry.features(config.retrievers)
    items = warehouse.read(data.ITEMS, before=as_of, required=False)
    pairs = written(with_past_features(written(chosen.pairs), evidence.fits(context, rungs), offered))
    factors = evidence.click_factors(context, rungs)
    features = example_features(
        written(with_click_affinity(pairs, factors, items)),
        lists=written(chosen.lists),
        events=events,
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=items,
        users=warehouse.read(data.USERS, before=as_of, required=False),
        history_length=x.history_length,
        retrieved=offered,
        shown=evidence.shown_lists(context, days_back=reach),
        attributes=x.attribute_features,
        keep=keep,
    )
    rows = context.keep(persisted(sampling.example_rows(features, as_of=as_of, table=table)))
    snapshot = ("snapshots", table.name, stamp(as_of))
    return Writes(
        [Replace(table, rows, data.slice_of(as_of))],
        files=["/".join((*snapshot, origin, MANIFEST)) for origin in examples.ORIGINS],
        afterwards=lambda: export_by_origin(rows, warehouse.path(*snapshot), shards={"train": x.shards}),
    )


def labeled(context: Context, events: DataFrame, rungs: Sequence[datetime]) -> list[examples.Labeled]:
    """Label the candidates of past instants and the shown lists."""
    x, e, as_of, warehouse = context.config.ctr_examples, context.config.evaluate, context.as_of, context.warehouse
    since = as_of - timedelta(days=x.window_days)
    shown = warehouse.read(data.IMPRESSIONS, before=as_of, since=since, required=False)
    shared = examples.shared_lists(shown)
    if shared:
        note(f"{shared:,} lists were shown to several users; each of them is taken to have a list of their own")
    made = {"run_date": [daily.day_of(rung) for rung in rungs], "as_of": list(rungs)}
    past = warehouse.read(data.CANDIDATES, where=made, required=False)
    blend = fitted_blend(warehouse, as_of=as_of, names=[one.name for one in context.config.retrievers])
    if blend is not None:
        # At scoring the rank in the union is by the weights of `as_of`, so it must be in the examples too.
        past = reordered(past, blend, lists=("as_of", "user_id"))
    return [
        examples.from_candidates(
            past,
            events,
            instants=rungs,
            horizon_days=e.horizon_days,
            relevant_types=e.relevant_types,
            min_value=e.min_value,
        ),
        examples.from_lists(
            examples.with_outcomes(shown, events), as_of=as_of, window_days=x.window_days, shared=shared > 0
        ),
    ]


if __name__ == "__main__":
    run.main()
