"""Train the ranker: one network for each head.

Reads ctr_examples (and its Parquet snapshots) for `as_of`, and the impressions that followed the held-out candidates;
writes the warehouse's directory `bundles/<model_version>`, `feature_stats` (keyed by `model_version, head, input,
statistic`) and last the row of `models`, keyed by `model_version`, that makes the version visible.
"""

from __future__ import annotations

from dataclasses import astuple

from recsys import data
from recsys.config import stamp, version_of
from recsys.ctr.fitting import fit_heads, with_inputs
from recsys.ctr.heads import Heads
from recsys.ctr.inputs.figures import feature_stats
from recsys.ctr.ranker import default_baselines
from recsys.evaluation.choice import decide
from recsys.features.examples import with_outcomes
from recsys.pipeline import Context, Part, job
from recsys.progress import note
from recsys.retrieval import registry
from recsys.retrieval.ordering import plain_score
from recsys.store import Replace, Writes
from recsys.store.models import version_row


@job(
    "train_ctr",
    reads=(data.CTR_EXAMPLES, data.IMPRESSIONS, data.EVENTS, data.POSITION_EFFECTS),
    writes=(data.FEATURE_STATS, data.MODELS.of("ranker")),
    config=(
        "train_ctr",
        "ctr_examples",
        "evaluate.horizon_days",
        "candidates.rrf_k",
        Part("retrievers", registry.weights),
    ),
)
def run(context: Context) -> Writes:
    """Read; fit each head; choose their weights; save. The row makes the version visible."""
    warehouse, config, as_of = context.warehouse, context.config, context.as_of
    attributes, offered = config.ctr_examples.attribute_features, registry.features(config.retrievers)
    table = registry.examples_table(config.retrievers, attributes)
    settings = with_inputs(config.train_ctr, retrieved=offered, attributes=attributes)
    version = version_of(registry.RANKER, as_of, settings, config.ctr_examples)
    bundle_path, logs = f"bundles/{version}", warehouse.path("tensorboard", version)
    examples = warehouse.read(table, where=data.slice_of(as_of), required=False)
    bundles = fit_heads(
        examples,
        snapshots=warehouse.path("snapshots", table.name, stamp(as_of)),
        settings=settings,
        baselines=default_baselines(registry.baseline_ranks(config.retrievers)),
        log_dir=logs if settings.tensorboard else None,
        about={"as_of": as_of.isoformat(), "model_version": version},
    )
    choice = decide(
        examples,
        with_outcomes(
            warehouse.read(data.IMPRESSIONS, before=as_of, required=False),
            warehouse.read(data.EVENTS, before=as_of, required=False),
        ),
        Heads(bundles),
        k=settings.ndcg_at,
        batch_size=settings.batch_size,
        horizon_days=config.evaluate.horizon_days,
        effects=warehouse.read(data.POSITION_EFFECTS, where=data.slice_of(as_of), required=False),
        plain=plain_score(config.retrievers, rrf_k=config.candidates.rrf_k),
    )
    note(f"the ranker is {choice.why}")
    if choice.metrics:
        predicted, observed = (choice.metrics[f"click_test_top_{name}"] for name in ("predicted", "observed"))
        note(f"clicks on the first {settings.ndcg_at}: {predicted:.3f} predicted, {observed:.3f} by impressions")
    heads = Heads(bundles, choice)
    checksums = heads.save(warehouse.path(bundle_path))
    row = version_row(
        context.spark,
        version=version,
        kind=registry.RANKER,
        as_of=as_of,
        path=bundle_path,
        config=context.resolved,
        metrics=heads.metrics,
        data_versions=warehouse.reads,
        checksums=checksums,
        verdict=choice.why,
        curve=[astuple(point) for point in choice.curve],
    )
    files = [f"{bundle_path}/{name}" for name in checksums]
    mine = {"model_version": version}
    specs = {head: bundle.spec for head, bundle in bundles.items()}
    stats = feature_stats(specs, like=examples, as_of=as_of, version=version)
    return Writes(
        [Replace(data.FEATURE_STATS, stats, {**data.slice_of(as_of), **mine}), Replace(data.MODELS, row, mine)],
        files=files,
    )


if __name__ == "__main__":
    run.main()
