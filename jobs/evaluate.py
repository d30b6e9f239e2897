"""Judge the lists of the day by what users did in the horizon after it.

Reads events and shown lists up to `as_of` + horizon, `candidates`, `ranked` and `recommendations` of the day, and what
the baseline among the retrievers learned; replaces the slices run_date of `metrics`, keyed by
`run_date, model_version, stage, slice, metric, k`, and of `source_overlap`, keyed by `run_date, source, other`, and
writes `reports/<as_of>/report.html`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsys import data
from recsys.config import changed_keys, dataset_of, stamp
from recsys.evaluation.day import Day
from recsys.evaluation.gather import (
    alphas_of,
    broken_rows,
    check_counts,
    example_users,
    job_seconds,
    odd_checks,
    position_curve,
    reason_mix,
    reliability_of,
    source_mix,
)
from recsys.evaluation.report import Report, render
from recsys.pipeline import Context, job, judging
from recsys.progress import note, step
from recsys.store import Replace, Writes
from recsys.store.curves import training_curves
from recsys.store.runs import RunLog
from recsys.store.text import write_text
from recsys.store.views import create_views


@job(
    "evaluate",
    reads=(*judging.READS, data.QUARANTINE, data.CHECKS),
    writes=(data.METRICS, data.SOURCE_OVERLAP),
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
    as_of, warehouse = context.as_of, context.warehouse
    judged = judging.judged_day(context, context.scratch())
    # Before the commit: after it the frames that it is counted from are gone.
    cold_start = judged.cold_start()
    report = ("reports", stamp(as_of), "report.html")

    def finish() -> None:
        create_views(context.spark, warehouse)
        path = warehouse.path(*report)
        with step("write the report"):
            write_text(context.spark, path, render(report_of(context, judged.day, cold_start)))
        note(f"report: {path}")

    today = {"run_date": as_of.date()}
    writes = [
        Replace(data.METRICS, judged.metrics(), today),
        Replace(data.SOURCE_OVERLAP, judged.overlap(), today),
    ]
    return Writes(writes, files=["/".join(report)], afterwards=finish)


def report_of(context: Context, day: Day, cold_start: Sequence[dict[str, Any]]) -> Report:
    """Gather what the report shows."""
    warehouse = context.warehouse
    figures = warehouse.read(data.METRICS, where={"run_date": day.as_of.date()}).collect()  # stages x slices x metrics
    overlap = warehouse.read(data.SOURCE_OVERLAP, where={"run_date": day.as_of.date()}).collect()  # retrievers squared
    checks = warehouse.read(data.CHECKS, required=False)
    logs = warehouse.path("tensorboard", day.model["model_version"] if day.model else "none")
    return Report(
        as_of=f"{day.as_of:%Y-%m-%d %H:%M} UTC",
        horizon_days=context.config.evaluate.horizon_days,
        stages=day.stages,
        figures=[row.asDict() for row in figures],
        examples=example_users(day.final, past=day.past, items=day.items, as_of=day.as_of),
        broken=broken_rows(warehouse.read(data.QUARANTINE, required=False)),
        tables=RunLog(warehouse).newest_rows(),
        curves=training_curves(logs),
        places=[("tables", warehouse.root), ("TensorBoard", logs)],
        dataset=dataset_of(context.resolved),
        changed=changed_keys(context.resolved),
        effects=position_curve(day.effects),
        guard=(day.model or {}).get("verdict") or "",
        reliability=reliability_of((day.model or {}).get("metrics") or {}),
        alphas=alphas_of(day.model),
        reasons=reason_mix(day.final),
        sources=source_mix(day.final, day.ranked),
        overlap=[row.asDict() for row in overlap],
        cold_start=cold_start,
        checks=odd_checks(checks, as_of_key=stamp(day.as_of)),
        check_counts=check_counts(checks, as_of_key=stamp(day.as_of)),
        seconds=job_seconds(warehouse.read(data.RUNS, required=False), as_of=day.as_of),
    )


if __name__ == "__main__":
    run.main()
