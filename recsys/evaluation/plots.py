"""Plots of the report, as PNG in base64: the file stands alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recsys.evaluation.stages import CANDIDATES, FINAL
from recsys.evaluation.words import in_words

Figures = Sequence[dict[str, Any]]
"""Rows of `metrics`."""

GREY, BLUE, ORANGE = "#9aa5b1", "#1f6feb", "#d9822b"


def stage_bars(rows: Figures, *, stages: Sequence[str], baseline: str | None, metric: str, k: int) -> str:
    """Bars of a metric per stage with 95 % intervals, the baseline marked by a line."""
    found = {row["stage"]: row for row in rows if _is(row, metric, k, "all") and row["stage"] in stages}
    shown = [stage for stage in stages if stage in found]
    figure, axes = blank_axes(6.4, 0.42 * len(shown) + 1.0)
    for place, stage in enumerate(shown):
        row = found[stage]
        color = BLUE if stage == FINAL else ORANGE if stage == baseline else GREY
        axes.barh(place, row["value"], color=color, height=0.62)
        _whisker(axes, row, place)
        end = row["ci_high"] if row["ci_high"] is not None else row["value"]
        axes.annotate(f"{row['value']:.4f}", (end, place), (6, 0), textcoords="offset points", va="center", fontsize=9)
    if baseline in found:
        axes.axvline(found[baseline]["value"], color=ORANGE, linewidth=1, linestyle="--", zorder=0)
    axes.set_yticks(range(len(shown)), shown)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max([row["ci_high"] or row["value"] or 0.0 for row in found.values()] or [1.0]) or 1.0)
    axes.set_xlabel(f"{in_words(metric, k)}, with 95 % intervals")
    return as_png(figure)


def slice_bars(rows: Figures, *, metric: str, k: int, pair: tuple[str, str]) -> str | None:
    """Two stages side by side in every slice; None where there is one slice only."""
    found = {(row["stage"], row["slice"]): row for row in rows if row["metric"] == metric and row["k"] == k}
    slices = sorted({name for stage, name in found if stage == pair[1]}, key=_slice_order)
    if len(slices) < 2:
        return None
    figure, axes = blank_axes(6.4, 0.55 * len(slices) + 1.1)
    top = 0.0
    for number, (stage, color) in enumerate(zip(pair, (ORANGE, BLUE), strict=True)):
        for place, name in enumerate(slices):
            row = found[stage, name]
            axes.barh(
                place + 0.36 * number - 0.18,
                row["value"],
                height=0.34,
                color=color,
                label=stage if not place else None,
            )
            _whisker(axes, row, place + 0.36 * number - 0.18)
            top = max(top, row["ci_high"] or row["value"] or 0.0)
    axes.set_yticks(range(len(slices)), [f"{name}  (n={found[pair[1], name]['n']:,})" for name in slices])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * top or 1.0)
    axes.set_xlabel(in_words(metric, k))
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return as_png(figure)


def training_lines(curves: dict[str, list[tuple[int, float]]]) -> str | None:
    """Loss by epoch, and beside it AUC and NDCG; None without curves."""
    losses = {name: points for name, points in curves.items() if "loss" in name}
    others = {name: points for name, points in curves.items() if "auc" in name or "ndcg" in name}
    panels = [(label, panel) for label, panel in (("logloss", losses), ("AUC, NDCG", others)) if panel]
    if not panels:
        return None
    figure = Figure(figsize=(6.4, 2.6), dpi=110, layout="constrained")
    for number, (label, panel) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        for color, (name, points) in zip((BLUE, ORANGE, GREY, "black"), sorted(panel.items()), strict=False):
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=color, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return as_png(figure)


def reliability_lines(heads: Mapping[str, Sequence[tuple[float, float, int]]]) -> str | None:
    """Share of positives by mean prediction, a line a head, beside the diagonal; None without points."""
    shown = {name: points for name, points in heads.items() if points}
    if not shown:
        return None
    figure, axes = blank_axes(4.2, 3.6)
    top = max(max(predicted, rate) for points in shown.values() for predicted, rate, _ in points)
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--")
    for color, (name, points) in zip((BLUE, ORANGE, "#2da44e", "black"), sorted(shown.items()), strict=False):
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o-", markersize=4, color=color, label=name)
    axes.set_xlabel("mean prediction")
    axes.set_ylabel("share of positives")
    axes.legend(frameon=False, fontsize=9)
    return as_png(figure)


def alpha_lines(alphas: Sequence[tuple[float, float, float | None]]) -> str | None:
    """NDCG and SNIPS by the exponent of the click probability; None without any."""
    if not alphas:
        return None
    figure, axes = blank_axes(5.2, 3.0)
    x = [alpha for alpha, _, _ in alphas]
    axes.plot(x, [ndcg for _, ndcg, _ in alphas], "o-", markersize=4, color=BLUE)
    axes.set_xlabel("exponent of the click probability")
    axes.set_ylabel("NDCG", color=BLUE)
    with_clicks = [(alpha, snips) for alpha, _, snips in alphas if snips is not None]
    if with_clicks:
        other = axes.twinx()
        other.spines[["top"]].set_visible(False)
        other.plot(*zip(*with_clicks, strict=True), "s-", markersize=4, color=ORANGE)
        other.set_ylabel("SNIPS CTR", color=ORANGE)
    return as_png(figure)


def overlap_map(overlap: Sequence[dict[str, Any]]) -> str | None:
    """Which share of a retriever's hits another one found too; None for less than two retrievers.

    Parameters
    ----------
    overlap : sequence of dict
        Rows of `source_overlap` of a day.
    """
    own = {row["source"]: row["hits"] for row in overlap if row["source"] == row["other"] != CANDIDATES}
    names = sorted(own)
    if len(names) < 2:
        return None
    both = {(row["source"], row["other"]): row["hits"] for row in overlap}
    shares = [[both.get((one, other), 0) / (own[one] or 1) for other in names] for one in names]
    side = 0.62 * len(names) + 2.0
    figure, axes = blank_axes(side + 0.6, side - 0.6)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            color = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=9, color=color)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_xlabel("was also proposed by")
    axes.set_ylabel("what was found by")
    return as_png(figure)


def effect_line(effects: Sequence[tuple[int, float]]) -> str | None:
    """How much each position is looked at; None without any."""
    if not effects:
        return None
    figure, axes = blank_axes(5.2, 2.6)
    axes.plot(*zip(*sorted(effects), strict=True), "o-", markersize=4, color=BLUE)
    axes.set_ylim(0, 1.05 * max(effect for _, effect in effects))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("position")
    axes.set_ylabel("looked at, relative to the first")
    return as_png(figure)


def check_bars(counts: Sequence[tuple[str, Mapping[str, int]]]) -> str | None:
    """How many checks were worth a note or failed, a bar per instant; None for a single instant."""
    if len(counts) < 2:
        return None
    figure, axes = blank_axes(6.4, 2.2)
    below = [0] * len(counts)
    for status, color in (("stop", "#cf222e"), ("warn", ORANGE), ("note", GREY)):
        heights = [found.get(status, 0) for _, found in counts]
        axes.bar(range(len(counts)), heights, bottom=below, color=color, label=status)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xticks(range(len(counts)), [name for name, _ in counts], rotation=30, ha="right", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("checks")
    axes.legend(frameon=False, fontsize=8, ncols=3)
    return as_png(figure)


def blank_axes(width: float, height: float) -> tuple[Figure, Any]:
    """Make a figure of this size in inches with one pair of axes."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _whisker(axes: Any, row: dict[str, Any], place: float) -> None:
    if row["ci_low"] is not None:
        below, above = max(row["value"] - row["ci_low"], 0.0), max(row["ci_high"] - row["value"], 0.0)
        axes.errorbar(row["value"], place, xerr=[[below], [above]], color="#333333", capsize=3, linewidth=1)


def _is(row: dict[str, Any], metric: str, k: int, name: str) -> bool:
    return bool(row["metric"] == metric and row["k"] == k and row["slice"] == name and row["value"] is not None)


def _slice_order(name: str) -> tuple[int, str]:
    users = ("all", "known", "history:new", "history:1-4", "history:5+", "users:heavy")
    order = (*users, "items:head", "items:tail", "items:new")
    return (order.index(name), name) if name in order else (len(order), name)


def as_png(figure: Figure) -> str:
    """Draw a figure as PNG, in base64."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
