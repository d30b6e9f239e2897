"""Factorize what was clicked in shown lists.

Reads shown lists and events before `as_of`, and items; writes the warehouse's directory `bundles/<model_version>` and
last the row of `models`, of the kind `click_factors`. The pipeline also runs it at past instants, because the ranker
learns from what it said before an example.
"""

from __future__ import annotations

from datetime import timedelta

from recsys import data
from recsys.config import stamp, version_of
from recsys.ctr.click_factors import KIND, click_examples, fit_click_factors
from recsys.errors import NothingToDo
from recsys.features.examples import from_lists, shared_lists, with_outcomes
from recsys.features.settings import CtrExamplesSettings
from recsys.pipeline import Context, job
from recsys.progress import note, step
from recsys.retrieval.frames import persisted
from recsys.store import Clear, Replace, Writes
from recsys.store.models import version_row
from recsys.store.snapshot import export

EXAMPLES = ("window_days", "negatives_per_positive", "holdout_share", "shards")
TRAINING = ("launcher", "ranks", "threads", "seed", "cache_mb", "start_timeout_seconds", "stall_timeout_seconds")


@job(
    "click_factors",
    reads=(data.IMPRESSIONS, data.EVENTS, data.ITEMS),
    writes=(data.MODELS.of(KIND),),
    config=(
        "click_factors",
        *(f"ctr_examples.{name}" for name in EXAMPLES),
        *(f"train_ctr.{name}" for name in TRAINING),
    ),
)
def run(context: Context) -> Writes:
    """Read, sample, fit, save. The row makes the version visible."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    mine = {"kind": KIND, "as_of": as_of}
    if not config.click_factors.enabled:
        note("nothing is fitted: click_factors.enabled is false")
        return Writes([Clear(data.MODELS, mine)])
    examples = CtrExamplesSettings(**{name: getattr(config.ctr_examples, name) for name in EXAMPLES})
    since = as_of - timedelta(days=examples.window_days)
    shown = warehouse.read(data.IMPRESSIONS, before=as_of, since=since, required=False)
    outcomes = with_outcomes(shown, warehouse.read(data.EVENTS, before=as_of, since=since, required=False))
    lists = from_lists(outcomes, as_of=as_of, window_days=examples.window_days, shared=shared_lists(shown) > 0)
    snapshot = ("snapshots", KIND, stamp(as_of))
    try:
        found = click_examples(lists, warehouse.read(data.ITEMS, before=as_of, required=False), examples=examples)
        rows = context.keep(persisted(found))
        export(rows, warehouse.path(*snapshot), shards={"train": examples.shards})
        with step("train the factorization"):
            bundle = fit_click_factors(
                rows,
                snapshot=warehouse.path(*snapshot),
                settings=config.click_factors,
                training={name: getattr(config.train_ctr, name) for name in TRAINING},
            )
    except NothingToDo as why:
        return Writes([Clear(data.MODELS, mine)], nothing=str(why))
    version = version_of(KIND, as_of, config.click_factors, examples)
    path = f"bundles/{version}"
    bundle.save(warehouse.path(path))
    row = version_row(
        context.spark,
        version=version,
        kind=KIND,
        as_of=as_of,
        path=path,
        config=context.resolved,
        metrics=bundle.metrics,
        data_versions=warehouse.reads,
        checksums=bundle.checksums,
    )
    return Writes([Replace(data.MODELS, row, mine)], files=[f"{path}/{name}" for name in bundle.checksums])


if __name__ == "__main__":
    run.main()
