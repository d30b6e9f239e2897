"""Judge the lists of the day by what users did in the horizon after it.

Reads events up to `as_of` + horizon, `candidates`, `ranked`, `recommendations` and `popular_items` of the day; replaces
the slice run_date of `metrics`, keyed by `run_date, model_version, stage, slice, metric, k`, and writes
`reports/<as_of>/report.html`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config, stamp
from recsys.evaluation.day import Day
from recsys.evaluation.gather import broken_rows, example_users
from recsys.evaluation.report import Report, render
from recsys.io import Warehouse
from recsys.io.curves import training_curves
from recsys.io.text import write_text
from recsys.io.views import create_views
from recsys.progress import note, step
from recsys.ranking.lists import newest_model
from recsys.retrieval.base import persisted
from recsys.runner import Job
from recsys.transforms.publishing import seen_pairs


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, compare, write the figures and the report."""
    warehouse, e, day = Warehouse(spark, cfg.warehouse), cfg.evaluation, read_day(spark, cfg, as_of)
    found = day.relevant(
        horizon_days=e.horizon_days,
        relevant_types=e.relevant_types,
        min_value=e.min_value,
        only_new_items=e.only_new_items,
        include_anonymous=cfg.candidates.include_anonymous,
    )
    available = cfg.candidates.exclude_unavailable
    with (
        persisted(found) as relevant,
        persisted(day.population(relevant)) as population,
        persisted(day.lists(population, exclude_unavailable=available, depth=max(e.ks))) as lists,
        persisted(day.facts()) as facts,
    ):
        figures = day.metrics(
            lists=lists,
            relevant=relevant,
            population=population,
            facts=facts,
            ks=e.ks,
            resamples=e.bootstrap,
            seed=e.seed,
        )
        warehouse.replace(tables.METRICS, figures, where={"run_date": as_of.date()})
    create_views(spark, warehouse)
    with step("write the report"):
        path = warehouse.path("reports", stamp(as_of), "report.html")
        write_text(spark, path, render(report_of(warehouse, cfg, day)))
    note(f"report: {path}")


def read_day(spark: SparkSession, cfg: Config, as_of: datetime) -> Day:
    """Read what the evaluation of a day needs."""
    warehouse, today = Warehouse(spark, cfg.warehouse), {"run_date": as_of.date(), "as_of": as_of}
    past = warehouse.read(tables.EVENTS, before=as_of)
    seen = seen_pairs(past, as_of=as_of, seen_types=cfg.candidates.seen_types)
    return Day(
        as_of=as_of,
        events=warehouse.read(tables.EVENTS, before=as_of + timedelta(days=cfg.evaluation.horizon_days)),
        items=warehouse.read(tables.ITEMS, valid_at=as_of, required=False),
        users=warehouse.read(tables.USERS, valid_at=as_of, required=False),
        candidates=warehouse.read(tables.CANDIDATES, where=today),
        ranked=warehouse.read(tables.RANKED, where=today),
        final=warehouse.read(tables.RECOMMENDATIONS, where=today),
        popular=warehouse.read(tables.POPULAR_ITEMS, where={"as_of": as_of}),
        seen=seen if cfg.candidates.exclude_seen else None,
        model=newest_model(warehouse.read(tables.MODELS, required=False), kind="ctr", as_of=as_of),
    )


def report_of(warehouse: Warehouse, cfg: Config, day: Day) -> Report:
    """Gather what the report shows."""
    figures = warehouse.read(
        tables.METRICS, where={"run_date": day.as_of.date()}
    ).collect()  # stages x slices x metrics
    logs = warehouse.path("tensorboard", day.model["model_version"] if day.model else "none")
    return Report(
        as_of=f"{day.as_of:%Y-%m-%d %H:%M} UTC",
        horizon_days=cfg.evaluation.horizon_days,
        figures=[row.asDict() for row in figures],
        examples=example_users(day.final, past=day.past, items=day.items, as_of=day.as_of),
        broken=broken_rows(warehouse.read(tables.QUARANTINE, required=False)),
        tables=list(warehouse.counts(tables.ALL).items()),
        curves=training_curves(logs),
        places=[("tables", warehouse.root), ("TensorBoard", logs)],
    )


JOB = Job(
    "evaluate",
    run,
    doc=__doc__,
    reads=(
        tables.EVENTS,
        tables.CANDIDATES,
        tables.RANKED,
        tables.RECOMMENDATIONS,
        tables.POPULAR_ITEMS,
        tables.ITEMS,
        tables.USERS,
        tables.MODELS,
        tables.QUARANTINE,
    ),
    writes=(tables.METRICS,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
