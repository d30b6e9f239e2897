"""The report of a search: one HTML file with the trials, a plot of each setting, and what each was worth."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import jinja2
import yaml

from recsys.evaluation.plots import BLUE, GREY, ORANGE, as_png, blank_axes
from recsys.tuning.search import Trial, Tuned


def overlay_yaml(tuned: Tuned[Any], *, about: str) -> str:
    """Write the layer of a config that sets what was found, for `--config`.

    Parameters
    ----------
    about : str
        A line that says how it was found.
    """
    gain = f"{tuned.metric} {tuned.value:.4f}, {tuned.value - tuned.base:+.4f} against the settings before"
    return f"# {about}\n# {gain}\n" + yaml.safe_dump(tuned.overlay(), sort_keys=False)


def render(tuned: Tuned[Any], *, about: str) -> str:
    """Write the HTML."""
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
        resources.files("recsys.tuning").joinpath("report.html").read_text(encoding="utf-8")
    )
    names = changing(tuned.trials)
    ranked = sorted(tuned.trials, key=lambda trial: (trial.value is None, -(trial.value or 0.0), trial.number))
    return template.render(
        t=tuned,
        about=about,
        names=names,
        rows=[(trial, [spoken(trial.settings.get(name)) for name in names]) for trial in ranked],
        worth=sorted(tuned.worth.items(), key=lambda pair: -pair[1]),
        progress=progress_plot(tuned),
        plots=[(name, plot) for name in names if (plot := setting_plot(tuned, name)) is not None],
        overlay=overlay_yaml(tuned, about=about),
    )


def changing(trials: Sequence[Trial]) -> list[str]:
    """Return the settings that are not the same in all trials."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.settings if name not in ("kind", "name")))
    return [name for name in names if len({str(trial.settings.get(name)) for trial in trials}) > 1]


def spoken(value: Any) -> str:
    """A setting as text.

    >>> spoken(0.01234), spoken(64), spoken(None)
    ('0.0123', '64', '')
    """
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def progress_plot(tuned: Tuned[Any]) -> str:
    """The metric of each whole trial, and the best so far."""
    whole = [(trial.number, trial.value) for trial in tuned.trials if trial.value is not None]
    figure, axes = blank_axes(6.4, 2.8)
    axes.plot([n for n, _ in whole], [value for _, value in whole], "o", markersize=4, color=GREY)
    best, top = [], 0.0
    for _, value in whole:
        top = max(top, value)
        best.append(top)
    axes.step([n for n, _ in whole], best, where="post", color=BLUE)
    axes.axhline(tuned.base, color=ORANGE, linewidth=1, linestyle="--")
    axes.set_xlabel("trial; dashed: the settings before")
    axes.set_ylabel(tuned.metric)
    return as_png(figure)


def setting_plot(tuned: Tuned[Any], name: str) -> str | None:
    """The metric by one setting; None with less than two whole trials that have it."""
    whole = [trial for trial in tuned.trials if trial.value is not None and trial.settings.get(name) is not None]
    if len(whole) < 2:
        return None
    settings, values = [trial.settings[name] for trial in whole], [trial.value for trial in whole]
    figure, axes = blank_axes(4.2, 2.6)
    if all(isinstance(setting, int | float) for setting in settings):
        axes.plot(settings, values, "o", markersize=4, color=BLUE)
        if min(settings) > 0 and max(settings) / min(settings) > 20:
            axes.set_xscale("log")
        axes.set_xlabel(name)
        axes.set_ylabel(tuned.metric)
    else:
        axes.plot(values, [str(setting) for setting in settings], "o", markersize=4, color=BLUE)
        axes.set_xlabel(tuned.metric)
    return as_png(figure)
