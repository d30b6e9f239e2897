"""Fit the weights with which the proposals of retrievers are united.

Reads the candidates of past instants and events before `as_of`; writes the row of `models` of the kind `fusion`, whose
metrics hold the weights and whose verdict says why they are used.
"""

from __future__ import annotations

from recsys import data
from recsys.config import version_of
from recsys.features import examples
from recsys.features.daily import day_of
from recsys.features.ladder import ladder
from recsys.pipeline import Context, job
from recsys.progress import note, step
from recsys.retrieval import registry
from recsys.retrieval.blend import Blend, described
from recsys.retrieval.blending import fit_blend
from recsys.retrieval.past_lists import past_lists
from recsys.store import Clear, Replace, Writes
from recsys.store.models import version_row


@job(
    "fusion",
    reads=(data.EVENTS,),
    writes=(data.MODELS.of(registry.FUSION),),
    config=(
        "candidates.fit_weights",
        "candidates.fit_lists",
        "candidates.rrf_k",
        "retrievers",
        "ctr_examples.instants",
        "ctr_examples.cadence_days",
        "evaluate.horizon_days",
        "evaluate.relevant_types",
        "evaluate.min_value",
    ),
    earlier=(data.CANDIDATES,),
)
def run(context: Context) -> Writes:
    """Label past candidates, fit, say what came of it."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    settings, e = config.candidates, config.evaluate
    mine = {"kind": registry.FUSION, "as_of": as_of}
    if not settings.fit_weights:
        note("the weights of the config stand: candidates.fit_weights is false")
        return Writes([Clear(data.MODELS, mine)])
    x = config.ctr_examples
    rungs = ladder(as_of, horizon_days=e.horizon_days, instants=x.instants, cadence_days=x.cadence_days)
    made = {"run_date": [day_of(rung) for rung in rungs], "as_of": list(rungs)}
    labeled = examples.labeled_candidates(
        warehouse.read(data.CANDIDATES, where=made, required=False),
        warehouse.read(data.EVENTS, before=as_of, since=min(rungs)),
        instants=rungs,
        horizon_days=e.horizon_days,
        relevant_types=e.relevant_types,
        min_value=e.min_value,
    )
    names = sorted(one.name for one in config.retrievers)
    with step("fit the weights of retrievers"):
        past = past_lists(labeled, names, lists=settings.fit_lists)
        found = fit_blend(past, Blend.of(config.retrievers, rrf_k=settings.rrf_k))
    decides = {"rrf_k": settings.rrf_k, "learned": registry.fit_settings(config.retrievers)}
    note(f"{found.verdict()}; {described(found.blend)}")
    row = version_row(
        context.spark,
        version=version_of(registry.FUSION, as_of, decides),
        kind=registry.FUSION,
        as_of=as_of,
        config=context.resolved,
        metrics=found.figures(),
        data_versions=warehouse.reads,
        verdict=found.verdict(),
    )
    return Writes([Replace(data.MODELS, row, mine)])


if __name__ == "__main__":
    run.main()
