"""The report of an evaluation: one HTML file that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2

from recsys.evaluation.plots import slice_bars, stage_bars, training_lines
from recsys.evaluation.stages import CANDIDATES, FINAL, RANKER, Stages

SHARES = ("no_list", "coverage")
"""Metrics that are shown as percentages."""


@dataclass(frozen=True)
class Report:
    """What the report shows; every part is of bounded size.

    Attributes
    ----------
    as_of : str
        The lists' bound, for people.
    stages : Stages
        What was judged.
    figures : sequence of dict
        Rows of `metrics` of the day.
    examples : sequence of dict
        Users with `past` and `items`: see `recsys.evaluation.gather.example_users`.
    broken : sequence of dict
        target_table, reason, n.
    tables : sequence of (str, int, str)
        Table, rows and job of the newest writes.
    curves : dict
        Training curves: name to (epoch, value).
    places : sequence of (str, str)
        Where things are.
    """

    as_of: str
    horizon_days: int
    stages: Stages
    figures: Sequence[dict[str, Any]]
    examples: Sequence[dict[str, Any]] = ()
    broken: Sequence[dict[str, Any]] = ()
    tables: Sequence[tuple[str, int, str]] = ()
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    places: Sequence[tuple[str, str]] = ()

    @property
    def users(self) -> int:
        """How many users are counted."""
        return max(
            (row["n"] for row in self.figures if row["metric"] == "no_list" and row["slice"] == "all"), default=0
        )

    @property
    def model_version(self) -> str:
        """Version of the ranker."""
        return next((str(row["model_version"]) for row in self.figures if row["stage"] == FINAL), "none")

    @property
    def ranker(self) -> list[dict[str, Any]]:
        """The ranker's figures on its own examples."""
        return [
            row
            for row in self.figures
            if row["stage"] == RANKER and ("auc" in row["metric"] or "loss" in row["metric"])
        ]


def main_cut(figures: Sequence[dict[str, Any]]) -> int:
    """The cut-off that headlines are about: 10 where it was computed, else the one nearest to it."""
    cuts = sorted({row["k"] for row in figures if row["metric"] == "ndcg"})
    return min(cuts, key=lambda k: (abs(k - 10), k)) if cuts else 10


def render(report: Report) -> str:
    """Write the HTML."""
    k, stages, baseline = main_cut(report.figures), report.stages.names, report.stages.baseline
    headline = [("ndcg", k), ("recall", k), ("hit_rate", k), ("mrr", k)]
    beside = [("precision", k), ("map", k), ("coverage", k), ("novelty", k), ("diversity", k), ("no_list", 0)]
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
        resources.files("recsys.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        r=report,
        verdict=verdict(report.figures, k=k, baseline=baseline),
        summaries=[
            (title, [_name(*pair) for pair in columns], table_of(report.figures, rows, columns))
            for title, columns, rows in (
                ("stage", headline, stages),
                ("difference", headline, [f"{a}-{b}" for a, b in report.stages.differences]),
                ("stage", beside, stages),
            )
        ],
        plots={
            "stages": stage_bars(report.figures, stages=stages, baseline=baseline, metric="ndcg", k=k),
            "slices": slice_bars(report.figures, metric="ndcg", k=k, pair=(baseline or CANDIDATES, FINAL)),
            "training": training_lines(report.curves),
        },
    )


def verdict(figures: Sequence[dict[str, Any]], *, k: int, baseline: str | None) -> dict[str, str] | None:
    """One sentence on the final list against the baseline alone; None without a baseline or an interval."""
    row = _find(figures, f"{FINAL}-{baseline}", "ndcg", k)
    if row is None or row["ci_low"] is None:
        return None
    alone = _find(figures, baseline or "", "ndcg", k)
    base = alone["value"] if alone else None
    gain = f" ({row['value'] / base:+.0%})" if base else ""
    span = f"{row['value']:+.4f}{gain}, 95 % interval {row['ci_low']:+.4f} to {row['ci_high']:+.4f}"
    if row["ci_low"] > 0:
        return {"kind": "better", "text": f"The final list is better than {baseline} alone: NDCG@{k} {span}."}
    if row["ci_high"] < 0:
        return {"kind": "worse", "text": f"The final list is worse than {baseline} alone: NDCG@{k} {span}."}
    return {"kind": "open", "text": f"No difference from {baseline} alone can be shown: NDCG@{k} {span}."}


def table_of(
    figures: Sequence[dict[str, Any]], stages: Sequence[str], columns: Sequence[tuple[str, int]]
) -> list[dict[str, Any]]:
    """Rows of a table: a stage and its cells, each a value and an interval as text."""
    rows = []
    for stage in stages:
        cells = [_cell(_find(figures, stage, metric, k), metric, signed="-" in stage) for metric, k in columns]
        if any(cell["value"] != "–" for cell in cells):
            rows.append({"stage": stage, "cells": cells})
    return rows


def _find(figures: Sequence[dict[str, Any]], stage: str, metric: str, k: int) -> dict[str, Any] | None:
    for row in figures:
        if (row["stage"], row["slice"], row["metric"], row["k"]) == (stage, "all", metric, k):
            return row
    return None


def _cell(row: dict[str, Any] | None, metric: str, *, signed: bool) -> dict[str, str]:
    if row is None or row["value"] is None:
        return {"value": "–", "ci": ""}
    if metric in SHARES:
        return {"value": f"{row['value']:.1%}", "ci": ""}
    form = "{:+.4f}" if signed else "{:.2f}" if metric == "novelty" else "{:.4f}"
    ends = (row["ci_low"], row["ci_high"])
    ci = "" if None in ends else " … ".join(form.format(end) for end in ends)
    return {"value": form.format(row["value"]), "ci": ci}


def _name(metric: str, k: int) -> str:
    if metric == "no_list":
        return "no list"
    return f"{metric.replace('_', ' ')}@{k}"
