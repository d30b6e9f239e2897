"""The summary of a run of the pipeline: what each stage did, what the tables hold, how good the lists are, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, stamp
from recsys.data.log import as_instant
from recsys.pipeline.graph import Outcome
from recsys.secrets import masked_text
from recsys.store import Warehouse
from recsys.store.runs import RunLog

SHOWN = ("ndcg", "recall", "hit_rate", "coverage", "snips_ctr")
"""Metrics of the summary; the report has them all."""
COMPARED = ("ndcg", "recall", "snips_ctr")
REASONS = 20
"""Most reasons of the quarantine that are listed."""
_Figures = dict[tuple[str, str], Row]


def summarize(
    spark: SparkSession, config: Config, as_of: datetime, outcomes: Sequence[Outcome], *, more: Sequence[str] = ()
) -> str:
    """Write the summary of a run; what is not there yet is one line that says so.

    Parameters
    ----------
    outcomes : sequence of Outcome
        What `run_pipeline` returned.
    more : sequence of str
        Further paragraphs, before the one that says where things are.

    Returns
    -------
    str
        Text whose last line is the path of the report, if there is one.
    """
    warehouse, as_of = Warehouse(spark, config.warehouse), as_instant(as_of)
    cut, figures = _figures(warehouse, as_of)
    parts = [
        heading(f"Pipeline as of {as_of:%Y-%m-%d %H:%M} UTC"),
        stages(outcomes),
        heading("Rows that the newest runs wrote"),
        _rows_written(warehouse),
        heading("Quarantine by reason"),
        _quarantine(warehouse),
    ]
    if figures:
        parts += [
            heading(f"Quality over the next {config.evaluate.horizon_days} days, all users (95% intervals)"),
            _quality(figures, cut),
            heading("Is the final list better than the others?"),
            _comparison(figures, cut),
        ]
    parts += [
        *more,
        heading("Where to look"),
        _places(warehouse),
        heading("Report"),
        _report(warehouse, as_of, evaluated=bool(figures)),
    ]
    return masked_text("\n".join(parts))


def heading(text: str) -> str:
    """Underline a title, with an empty line before it."""
    return f"\n{text}\n{'=' * len(text)}"


def aligned(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lay rows out in columns under a header."""
    cells = [list(header), *([("" if value is None else str(value)) for value in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    first, *others = (
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
    return "\n".join([first, "-" * len(first), *others])


def stages(outcomes: Sequence[Outcome]) -> str:
    """Lay out the stages of a run, one line each: seconds and outcome."""
    width = max((len(outcome.label) for outcome in outcomes), default=0)
    return "\n".join(f"{label:<{width}}  {seconds:>8.1f} s  {result}" for label, result, seconds in outcomes)


def _rows_written(warehouse: Warehouse) -> str:
    found = RunLog(warehouse).newest_rows()
    if not found:
        return f"no tables in {warehouse.root} yet"
    return aligned(("table", "rows", "written by"), [(name, f"{rows:,}", job) for name, rows, job in found])


def _quarantine(warehouse: Warehouse) -> str:
    refused = warehouse.read(data.QUARANTINE, required=False)
    counted = (
        refused.select("target_table", F.explode("reasons").alias("reason"), "copies")
        .groupBy("target_table", "reason")
        .agg(F.sum("copies").alias("rows"))
        .orderBy(F.col("rows").desc(), "target_table", "reason")
        .limit(REASONS)
        .collect()
    )
    if not counted:
        return "empty"
    return aligned(("table", "reason", "rows"), [(table, reason, f"{rows:,}") for table, reason, rows in counted])


def _figures(warehouse: Warehouse, as_of: datetime) -> tuple[int, _Figures]:
    """Read the metrics of the run's instant over all users, at the cut-off nearest to 10: by stage and metric."""
    slices = {"run_date": as_of.date(), "as_of": as_of, "slice": "all", "metric": SHOWN}
    rows = warehouse.read(data.METRICS, where=slices, required=False).collect()
    cut = min({row["k"] for row in rows}, key=lambda k: (abs(k - 10), k), default=0)
    return cut, {(row["stage"], row["metric"]): row for row in rows if row["k"] == cut}


def _differences(figures: _Figures) -> dict[str, tuple[str, str]]:
    """Stages that are the difference of two others, by name."""
    names = {stage for stage, _ in figures}
    return {f"{one}-{other}": (one, other) for one in names for other in names if f"{one}-{other}" in names}


def _quality(figures: _Figures, cut: int) -> str:
    leading = {stage: row["value"] for (stage, metric), row in figures.items() if metric == SHOWN[0]}
    shown = sorted(leading.keys() - _differences(figures).keys(), key=lambda stage: (-(leading[stage] or 0), stage))
    rows = [(stage, *(_figure(figures.get((stage, metric))) for metric in SHOWN)) for stage in shown]
    return aligned(("stage", *(f"{metric}@{cut}" for metric in SHOWN)), rows)


def _figure(row: Row | None) -> str:
    if row is None or row["value"] is None:
        return ""
    return f"{row['value']:.4f}" + ("" if row["ci_low"] is None else f" [{row['ci_low']:.4f}, {row['ci_high']:.4f}]")


def _comparison(figures: _Figures, cut: int) -> str:
    pairs = sorted(pair for pair in _differences(figures).values() if pair[0] == "final")
    found = [(other, metric, figures.get((f"final-{other}", metric))) for _, other in pairs for metric in COMPARED]
    rows = [
        (f"final - {other}", f"{metric}@{cut}", f"{row['value']:+.4f}", *_verdict(row), f"{row['n']:,}")
        for other, metric, row in found
        if row is not None and row["value"] is not None and row["ci_low"] is not None
    ]
    return aligned(("lists", "metric", "difference", "interval", "better", "users"), rows)


def _verdict(row: Row) -> tuple[str, str]:
    better = "yes" if row["ci_low"] > 0 else "no, worse" if row["ci_high"] < 0 else "not proven"
    return f"[{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]", better


def _places(warehouse: Warehouse) -> str:
    lists = warehouse.location(data.RECOMMENDATIONS)
    return "\n".join(
        [
            f"lists        SELECT * FROM {lists} (the other tables: docs/tables.md)",
            f"TensorBoard  tensorboard --logdir {warehouse.path('tensorboard')}",
        ]
    )


def _report(warehouse: Warehouse, as_of: datetime, *, evaluated: bool) -> str:
    if evaluated:
        return warehouse.path("reports", stamp(as_of), "report.html")
    return f"none yet: the job evaluate writes it once there are lists, and events after {as_of:%Y-%m-%d %H:%M} UTC"
