"""Judge the lists of the day by what users did in the horizon after it.

Reads events up to `as_of` + horizon, `candidates`, `ranked` and `recommendations` of the day, and what the baseline
among the retrievers learned; replaces the slice run_date of `metrics`, keyed by
`run_date, model_version, stage, slice, metric, k`, and writes `reports/<as_of>/report.html`.
"""

from __future__ import annotations

from datetime import timedelta

from recsys import data
from recsys.config import Config, stamp
from recsys.evaluation.day import Day
from recsys.evaluation.gather import broken_rows, example_users
from recsys.evaluation.report import Report, render
from recsys.evaluation.stages import Stages
from recsys.pipeline import Context, job
from recsys.progress import note, step
from recsys.publishing.gates import seen_pairs
from recsys.rerank.lists import newest_model
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import pairs
from recsys.store import Replace, Warehouse, Writes
from recsys.store.curves import training_curves
from recsys.store.retrievers import read_models
from recsys.store.runs import RunLog
from recsys.store.text import write_text
from recsys.store.views import create_views


@job(
    "evaluate",
    reads=(
        data.EVENTS,
        data.CANDIDATES,
        data.RANKED,
        data.RECOMMENDATIONS,
        data.ITEMS,
        data.USERS,
        data.ITEM_INDEX,
        data.MODELS.of("retriever"),
        *registry.tables(),
        data.MODELS.of("ranker"),
        data.QUARANTINE,
    ),
    writes=(data.METRICS,),
    config=(
        "evaluate",
        "candidates.seen_types",
        "candidates.exclude_seen",
        "candidates.exclude_unavailable",
        "candidates.include_anonymous",
        "retrievers",
        "signal",
    ),
)
def run(context: Context) -> Writes:
    """Read, compare; the figures are written, then the report."""
    config, as_of = context.config, context.as_of
    warehouse, e, day = context.warehouse, config.evaluate, read_day(context)
    found = day.relevant(
        horizon_days=e.horizon_days,
        relevant_types=e.relevant_types,
        min_value=e.min_value,
        only_new_items=e.only_new_items,
        include_anonymous=config.candidates.include_anonymous,
    )
    relevant = context.keep(persisted(found))
    population = context.keep(persisted(day.population(relevant)))
    available = config.candidates.exclude_unavailable
    figures = day.metrics(
        lists=context.keep(persisted(day.lists(population, exclude_unavailable=available, depth=max(e.ks)))),
        relevant=relevant,
        population=population,
        facts=context.keep(persisted(day.facts())),
        ks=e.ks,
        resamples=e.bootstrap,
        seed=e.seed,
    )
    report = ("reports", stamp(as_of), "report.html")

    def finish() -> None:
        create_views(context.spark, warehouse)
        path = warehouse.path(*report)
        with step("write the report"):
            write_text(context.spark, path, render(report_of(warehouse, config, day)))
        note(f"report: {path}")

    writes = [Replace(data.METRICS, figures, {"run_date": as_of.date()})]
    return Writes(writes, files=["/".join(report)], afterwards=finish)


def read_day(context: Context) -> Day:
    """Read what the evaluation of a day needs."""
    config, as_of = context.config, context.as_of
    warehouse, today = context.warehouse, {"run_date": as_of.date(), "as_of": as_of}
    past = warehouse.read(data.EVENTS, before=as_of)
    seen = seen_pairs(past, as_of=as_of, seen_types=config.candidates.seen_types)
    users = warehouse.read(data.USERS, valid_at=as_of, required=False)
    audience = Audience(
        people=users.select("user_id", "segment"),
        histories=pairs(past, as_of=as_of, signal=config.signal, seen_types=config.candidates.seen_types),
        item_index=warehouse.read(data.ITEM_INDEX, required=False),
    )
    baseline = registry.baseline(config.retrievers)
    fitted = (
        read_models(warehouse, [baseline], as_of=as_of, signal=config.signal, audience=audience) if baseline else []
    )
    return Day(
        as_of=as_of,
        events=warehouse.read(data.EVENTS, before=as_of + timedelta(days=config.evaluate.horizon_days)),
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        users=users,
        candidates=warehouse.read(data.CANDIDATES, where=today),
        ranked=warehouse.read(data.RANKED, where=today),
        final=warehouse.read(data.RECOMMENDATIONS, where=today),
        stages=Stages(tuple(one.name for one in config.retrievers), baseline.name if baseline else None),
        baseline=next(iter(fitted), None),
        seen=seen if config.candidates.exclude_seen else None,
        model=newest_model(warehouse.read(data.MODELS, required=False), kind="ctr", as_of=as_of),
    )


def report_of(warehouse: Warehouse, config: Config, day: Day) -> Report:
    """Gather what the report shows."""
    figures = warehouse.read(data.METRICS, where={"run_date": day.as_of.date()}).collect()  # stages x slices x metrics
    logs = warehouse.path("tensorboard", day.model["model_version"] if day.model else "none")
    return Report(
        as_of=f"{day.as_of:%Y-%m-%d %H:%M} UTC",
        horizon_days=config.evaluate.horizon_days,
        stages=day.stages,
        figures=[row.asDict() for row in figures],
        examples=example_users(day.final, past=day.past, items=day.items, as_of=day.as_of),
        broken=broken_rows(warehouse.read(data.QUARANTINE, required=False)),
        tables=RunLog(warehouse).newest_rows(),
        curves=training_curves(logs),
        places=[("tables", warehouse.root), ("TensorBoard", logs)],
    )


if __name__ == "__main__":
    run.main()
