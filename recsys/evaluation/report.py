"""The report of an evaluation: one HTML file that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2

from recsys.evaluation.cold_start import item_tiers, user_tiers
from recsys.evaluation.offpolicy import CORRECTED, ESS, SNIPS
from recsys.evaluation.plots import (
    alpha_lines,
    check_bars,
    effect_line,
    overlap_map,
    reliability_lines,
    slice_bars,
    stage_bars,
    training_lines,
)
from recsys.evaluation.stages import CANDIDATES, FINAL, RANKER, Stages
from recsys.evaluation.words import WORDS, in_words

SHARES = ("no_list", "coverage")
"""Metrics that are shown as percentages."""
ENOUGH_USERS = 30
"""Below so many users with truth the report warns: the intervals are too narrow then."""


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
    guard : str
        Whether the lists were ranked by the ranker, and why.
    dataset : str
        Name of the data set's mapping.
    changed : sequence of (str, str)
        Config keys that differ from the defaults, and their values.
    reliability : dict
        By head of the ranker, points of (mean prediction, share of positives, examples) in ascending order.
    alphas : sequence of (float, float, float or None)
        What was tried for the exponent of the click probability: it, NDCG, SNIPS.
    effects : sequence of (int, float)
        Position and how much it is looked at, 1 at the first.
    reasons, sources : sequence of (str, float)
        Shares of the final lists' items by reason, and by the retrievers that proposed them.
    overlap : sequence of dict
        Rows of `source_overlap` of the day.
    cold_start : sequence of dict
        See `recsys.evaluation.cold_start.crossed`.
    seconds : sequence of (str, float)
        Wall-clock time of each job.
    checks : sequence of dict
        Rows of `checks` of the instant that are not ok.
    check_counts : sequence of (str, dict)
        Instants, the oldest first, and how many checks of each ended in which status.
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
    guard: str = ""
    dataset: str = ""
    changed: Sequence[tuple[str, str]] = ()
    reliability: Mapping[str, Sequence[tuple[float, float, int]]] = field(default_factory=dict)
    alphas: Sequence[tuple[float, float, float | None]] = ()
    effects: Sequence[tuple[int, float]] = ()
    reasons: Sequence[tuple[str, float]] = ()
    sources: Sequence[tuple[str, float]] = ()
    overlap: Sequence[dict[str, Any]] = ()
    cold_start: Sequence[dict[str, Any]] = ()
    seconds: Sequence[tuple[str, float]] = ()
    checks: Sequence[dict[str, Any]] = ()
    check_counts: Sequence[tuple[str, Mapping[str, int]]] = ()

    @property
    def users(self) -> int:
        """How many users are counted."""
        return self._users_in("all")

    @property
    def known(self) -> int:
        """How many of them did something, or were shown something, before the lists were made."""
        return self._users_in("known")

    def _users_in(self, name: str) -> int:
        return max((row["n"] for row in self.figures if row["metric"] == "no_list" and row["slice"] == name), default=0)

    @property
    def warnings(self) -> list[str]:
        """What to know before the figures are believed."""
        found = []
        if self.figures and self.users < ENOUGH_USERS:
            found.append(
                f"Only {self.users:,} users are counted. Below {ENOUGH_USERS} the intervals are too narrow, and "
                "a single user can turn a comparison: judge several instants together (jobs/backtest.py)."
            )
        if self.users > 2 * self.known:
            found.append(
                f"{self.users - self.known:,} of {self.users:,} users were not known when the lists were made. They "
                "draw every figure toward that of popularity: look at the slice known."
            )
        return found

    @property
    def heads(self) -> list[tuple[str, float, float]]:
        """Name of a head and its split, base rate and mean prediction, as the ranker's fit has them."""
        found = {row["metric"]: row["value"] for row in self.ranker}
        ends = ((name.removesuffix("base_rate"), rate) for name, rate in found.items() if name.endswith("base_rate"))
        return [
            (part.strip("_").replace("_", " ") or "all", rate, found[f"{part}mean_prediction"])
            for part, rate in sorted(ends)
            if f"{part}mean_prediction" in found
        ]

    @property
    def found(self) -> list[dict[str, Any]]:
        """What each source found, the union first, then the one that found most."""
        own = [row for row in self.overlap if row["source"] == row["other"]]
        return sorted(own, key=lambda row: (row["source"] != CANDIDATES, -row["hits"], row["source"]))

    @property
    def model_version(self) -> str:
        """Version of the ranker."""
        return next((str(row["model_version"]) for row in self.figures if row["stage"] == FINAL), "none")

    @property
    def ranker(self) -> list[dict[str, Any]]:
        """The ranker's figures on its own examples."""
        return [row for row in self.figures if row["stage"] == RANKER and row["k"] == 0 and row["metric"] not in WORDS]


def main_cut(figures: Sequence[dict[str, Any]]) -> int:
    """The cut-off that headlines are about: 10 where it was computed, else the one nearest to it."""
    cuts = sorted({row["k"] for row in figures if row["metric"] == "ndcg"})
    return min(cuts, key=lambda k: (abs(k - 10), k)) if cuts else 10


def render(report: Report) -> str:
    """Write the HTML."""
    k, stages, baseline = main_cut(report.figures), report.stages.names, report.stages.baseline
    headline = [("ndcg", k), ("recall", k), ("hit_rate", k), ("mrr", k)]
    beside = [("precision", k), ("map", k), ("coverage", k), ("novelty", k), ("diversity", k), ("no_list", 0)]
    clicks = [(metric, k) for metric in (SNIPS, CORRECTED, ESS) if _has(report.figures, metric)]
    differences = [f"{a}-{b}" for a, b in report.stages.differences]
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
        resources.files("recsys.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    )
    return template.render(
        r=report,
        verdict=verdict(report.figures, k=k, baseline=baseline),
        summaries=[
            (title, [in_words(*pair) for pair in columns], table_of(report.figures, rows, columns))
            for title, columns, rows in (
                ("stage", headline, stages),
                ("difference", headline, differences),
                ("stage", beside, stages),
            )
        ],
        clicks=[
            (title, [in_words(*pair) for pair in columns], table_of(report.figures, rows, columns))
            for title, columns, rows in (("stage", clicks, stages), ("difference", clicks[:-1], differences))
            if clicks
        ],
        at=k,
        cold_users=user_tiers(report.cold_start, report.figures, k=k) if report.cold_start else [],
        cold_items=item_tiers(report.cold_start),
        words=[WORDS[metric] for metric, _ in (*headline, *beside, *clicks)],
        plots={
            "stages": stage_bars(report.figures, stages=stages, baseline=baseline, metric="ndcg", k=k),
            "slices": slice_bars(report.figures, metric="ndcg", k=k, pair=(baseline or CANDIDATES, FINAL)),
            "training": training_lines(report.curves),
            "reliability": reliability_lines(report.reliability),
            "alphas": alpha_lines(report.alphas),
            "effects": effect_line(report.effects),
            "overlap": overlap_map(report.overlap),
            "checks": check_bars(report.check_counts),
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
    if metric == ESS:
        return {"value": f"{row['value']:,.0f}", "ci": ""}
    form = "{:+.4f}" if signed else "{:.2f}" if metric == "novelty" else "{:.4f}"
    ends = (row["ci_low"], row["ci_high"])
    ci = "" if None in ends else " … ".join(form.format(end) for end in ends)
    return {"value": form.format(row["value"]), "ci": ci}


def _has(figures: Sequence[dict[str, Any]], metric: str) -> bool:
    return any(row["metric"] == metric for row in figures)
