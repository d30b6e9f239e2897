"""Make labeled examples with point-in-time features, and export them as Parquet shards.

Reads shown lists (else the candidates of an earlier instant), events, daily partials, items and users before `as_of`;
writes the slice `as_of` of `ctr_examples`, keyed by `as_of, example_id`, and its snapshot.
"""

from __future__ import annotations

from datetime import timedelta

from recsys import data
from recsys.config import stamp
from recsys.errors import NothingToDo
from recsys.features import daily, examples, sampling
from recsys.features.example_features import example_features
from recsys.pipeline import Context, Part, job
from recsys.retrieval import registry
from recsys.retrieval.frames import persisted, persisting
from recsys.store import Clear, Replace, Writes
from recsys.store.snapshot import MANIFEST, export


@job(
    "ctr_examples",
    reads=(data.EVENTS, data.IMPRESSIONS, data.CANDIDATES, data.USER_DAILY, data.ITEM_DAILY, data.ITEMS, data.USERS),
    writes=(data.CTR_EXAMPLES,),
    config=("ctr_examples", Part("retrievers", registry.identities)),
    earlier=(data.CANDIDATES,),
)
def run(context: Context) -> Writes:
    """Label, sample, compute features, split."""
    config, as_of = context.config, context.as_of
    warehouse, x = context.warehouse, config.ctr_examples
    table = registry.examples_table(config.retrievers)
    first, today = daily.kept_days(as_of, x.window_days), daily.day_of(as_of)
    events = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    daily.require_complete(events, partials, since=first, until=today)
    earlier = as_of - timedelta(days=x.label_window_days)
    try:
        labeled = examples.choose(
            origin=x.origin,
            impressions=warehouse.read(data.IMPRESSIONS, before=as_of, required=False),
            candidates=warehouse.read(data.CANDIDATES, where={"run_date": daily.day_of(earlier)}, required=False),
            events=events,
            as_of=as_of,
            earlier=earlier,
            window_days=x.window_days,
            label_types=x.label_types,
        )
    except NothingToDo as why:
        # Examples of another config must not be taken for this one's.
        return Writes([Clear(table, data.slice_of(as_of))], nothing=str(why))
    pairs = sampling.sampled(labeled.pairs, rate=labeled.counts.sample_rate(x.negatives_per_positive))
    split = sampling.split_by_user if labeled.instant else sampling.split_by_time
    features = example_features(
        split(pairs, valid_share=x.valid_share, test_share=x.test_share),
        lists=labeled.lists,
        instant=labeled.instant,
        events=events,
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=warehouse.read(data.ITEMS, before=as_of, required=False),
        users=warehouse.read(data.USERS, before=as_of, required=False),
        history_length=x.history_length,
        retrieved=registry.features(config.retrievers),
        keep=context.keep(persisting()),
    )
    rows = context.keep(persisted(sampling.example_rows(features, as_of=as_of, table=table)))
    snapshot = ("snapshots", table.name, stamp(as_of))
    return Writes(
        [Replace(table, rows, data.slice_of(as_of))],
        files=["/".join((*snapshot, MANIFEST))],
        afterwards=lambda: export(rows, warehouse.path(*snapshot), shards={"train": x.shards}),
    )


if __name__ == "__main__":
    run.main()
