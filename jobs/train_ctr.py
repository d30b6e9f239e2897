"""Train the ranker.

Reads ctr_examples (and its Parquet snapshot) for `as_of`; writes the warehouse's directory `bundles/<model_version>`
and last the row of `models`, keyed by `model_version`, that makes the version visible.
"""

from __future__ import annotations

from recsys import data
from recsys.config import stamp, version_of
from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.settings import default_inputs, retrieved_inputs
from recsys.ctr.ranker import CtrRanker, default_baselines, make_launcher, snapshot_task
from recsys.pipeline import Context, Part, job
from recsys.progress import step
from recsys.retrieval import registry
from recsys.store import Replace, Writes
from recsys.store.models import version_row


@job(
    "train_ctr",
    reads=(data.CTR_EXAMPLES,),
    writes=(data.MODELS.of("ranker"),),
    config=("train_ctr", "ctr_examples", Part("retrievers", registry.identities)),
)
def run(context: Context) -> Writes:
    """Read, fit the spec, train, save; the row makes the version visible."""
    warehouse, config, as_of = context.warehouse, context.config, context.as_of
    table, offered = registry.examples_table(config.retrievers), registry.features(config.retrievers)
    settings = config.train_ctr
    if settings.inputs is None:
        settings = settings.model_copy(update={"inputs": default_inputs(retrieved_inputs(offered))})
    version = version_of("ctr", as_of, settings, config.ctr_examples)
    bundle_path, logs = f"bundles/{version}", warehouse.path("tensorboard", version)
    examples = warehouse.read(table, where={**data.slice_of(as_of), "split": "train"}, required=False)
    with step("fit the feature spec"):
        spec = fit_spec(examples, settings.inputs)
    task = snapshot_task(
        warehouse.path("snapshots", table.name, stamp(as_of)),
        spec=spec,
        settings=settings,
        baselines=default_baselines(registry.baseline_ranks(config.retrievers)),
        log_dir=logs if settings.tensorboard else None,
    )
    ranker = CtrRanker(make_launcher(settings), config={"as_of": as_of.isoformat(), "model_version": version})
    with step("train the ranker") as this:
        bundle = ranker.fit(task)
        this.rows = int(bundle.metrics["train_rows"])
    bundle.save(warehouse.path(bundle_path))
    row = version_row(
        context.spark,
        version=version,
        kind="ctr",
        as_of=as_of,
        path=bundle_path,
        config=context.resolved,
        metrics=bundle.metrics,
        data_versions=warehouse.reads,
        checksums=bundle.checksums,
    )
    files = [f"{bundle_path}/{name}" for name in bundle.checksums]
    return Writes([Replace(data.MODELS, row, {"model_version": version})], files=files)


if __name__ == "__main__":
    run.main()
