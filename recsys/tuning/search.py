"""A search for the settings of a retriever by Optuna: TPE proposes them, successive halving stops hopeless trials.

Each trial fits the retriever on one part of a log and judges its lists by a later part (Bergstra et al., Algorithms for
Hyper-Parameter Optimization, NIPS 2011; Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020).
Trials run one after another, because each of them uses the whole cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.log import Log
from recsys.errors import ConfigError, EnvironmentProblem, NothingToDo
from recsys.progress import note
from recsys.retrieval.base import Retriever
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import interactions
from recsys.retrieval.settings import SignalSettings
from recsys.tuning.judge import mean_over_users, parsed

if TYPE_CHECKING:
    import optuna

R = TypeVar("R", bound=Retriever)
V = TypeVar("V", str, int, float)
SHARES = (0.25, 1.0)
"""Shares of a whole fit after which a trial is judged; behind others of its kind it then ends."""
_FACTOR = 3
"""One of so many trials goes on."""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : int
        From 0, the settings that the search started from.
    settings : mapping
        What it was fitted with, where that differs from the defaults.
    value : float, optional
        The metric; None for a trial that ended early or could not be fitted.
    seconds : float
        What it took.
    ended : str
        `whole`, `early`, or why it could not be fitted.
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    seconds: float
    ended: str


@dataclass(frozen=True)
class Tuned(Generic[R]):
    """What a search found.

    Attributes
    ----------
    best : Retriever
        The settings with the largest metric, those that the search started from among them.
    metric : str
    base, value : float
        The metric with the settings that the search started from, and with the best.
    trials : sequence of Trial
    worth : mapping of str to float
        How much of the spread between good and other trials each setting explains, all together 1.
    """

    best: R
    metric: str
    base: float
    value: float
    trials: Sequence[Trial]
    worth: Mapping[str, float]

    def overlay(self) -> dict[str, Any]:
        """Return the layer of a config that sets what was found."""
        settings = self.best.model_dump(mode="json", exclude_unset=True, exclude={"kind", "name"})
        return {"retrievers": {self.best.name: settings}}


def tune(
    retriever: R,
    train: Log,
    valid: Log,
    *,
    metric: str = "ndcg@10",
    trials: int = 30,
    signal: SignalSettings | None = None,
    exclude_seen: bool = True,
    seen: DataFrame | None = None,
    seed: int = 7,
    storage: str | None = None,
    timeout_seconds: float | None = None,
) -> Tuned[R]:
    """Search the settings of a retriever.

    Parameters
    ----------
    retriever : Retriever
        What it starts from; settings that are not searched stay.
    train, valid : Log
        What trials learn from, and what they are judged by: every user and item in it. `Log.split` makes both. Keep a
        test part out of both.
    metric : str
        `ndcg@k`, `recall@k` or `hit_rate@k`.
    trials : int
        How many, those of an earlier search in the same storage included.
    signal : SignalSettings, optional
        How much each event counts.
    exclude_seen : bool
        As lists will be made.
    seen : DataFrame, optional
        `user_id, item_id` that are then excluded; by default all that users touched in `train`.
    seed : int
        Of the sampler.
    storage : str, optional
        A file that keeps the trials, so that a search which is stopped goes on; in memory by default.
    timeout_seconds : float, optional
        No trial starts after it.

    Raises
    ------
    ConfigError
        If the retriever has nothing to search, or the metric is not known.
    NothingToDo
        If the settings that it starts from can't be fitted.
    EnvironmentProblem
        If Optuna is not installed.
    """
    name, k = parsed(metric)
    if trials < 1:
        raise ConfigError(f"trials is {trials}; a search needs at least 1")
    study = _study(f"{retriever.name} by {metric}", seed, storage)
    log, weights = train.indexed(), signal or SignalSettings()
    relevant = valid.events.where(~F.col("is_bot")).select("user_id", "item_id").distinct()
    shared = interactions(log.events, as_of=log.as_of, signal=weights)
    with persisted(relevant) as truth, persisted(shared) as kept:
        judge = _Judge(log, weights, kept, truth, name, k, exclude_seen, seen)
        base = judge.value_of(retriever)
        note(f"{retriever.name}: {metric} {base:.4f} with the settings given")
        begun = monotonic()
        while len(study.trials) < trials - 1:
            if timeout_seconds is not None and monotonic() - begun > timeout_seconds:
                note(f"the time is over after {len(study.trials) + 1} trials")
                break
            study.optimize(_objective(retriever, judge, base), n_trials=1)
    return _found(retriever, study, metric, base)


@dataclass(frozen=True)
class _Judge:
    """Fits a retriever and judges its lists."""

    log: Log
    signal: SignalSettings
    interactions: DataFrame
    relevant: DataFrame
    metric: str
    k: int
    exclude_seen: bool
    seen: DataFrame | None

    def value_of(self, retriever: Retriever) -> float:
        model = retriever.fit(self.log, signal=self.signal, interactions=self.interactions)
        users = self.relevant.select("user_id").distinct()
        seen = self.seen or model.known_audience().seen
        lists = model.lists(users, k=self.k, exclude=seen if self.exclude_seen else None)
        return mean_over_users(lists, self.relevant, metric=self.metric, k=self.k)


class _Drawn:
    """A trial of Optuna as what retrievers draw from."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        # Three digits are easier to read in a config, and more than a metric can tell apart.
        return float(f"{self._trial.suggest_float(name, low, high, log=log):.3g}")

    def one_of(self, name: str, values: Sequence[V]) -> V:
        return self._trial.suggest_categorical(name, list(values))


def _study(name: str, seed: int, storage: str | None) -> optuna.Study:
    try:
        import optuna
    except ImportError:
        raise EnvironmentProblem("a search for settings needs optuna: pip install 'recsys[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = None if storage is None else f"sqlite:///{storage}"
    study = optuna.create_study(
        study_name=name,
        direction="maximize",
        storage=url,
        load_if_exists=True,
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_FACTOR),
    )
    # A search that goes on must not draw what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), multivariate=True)
    return study


def _objective(retriever: Retriever, judge: _Judge, base: float) -> Callable[[optuna.Trial], float]:
    import optuna

    def run(trial: optuna.Trial) -> float:
        variant = retriever.drawn(_Drawn(trial))
        trial.set_user_attr("settings", variant.model_dump(mode="json", exclude_unset=True))
        shares = SHARES if variant.cheaper(SHARES[0]) != variant else SHARES[-1:]
        value = 0.0
        try:
            for step, share in enumerate(shares, start=1):
                value = judge.value_of(variant.cheaper(share) if share < 1 else variant)
                trial.report(value, step)
                if share < 1 and trial.should_prune():
                    note(f"trial {trial.number + 1}: {value:.4f} after {share:.0%} of a fit, ended")
                    raise optuna.TrialPruned
        except (NothingToDo, ConfigError) as why:
            trial.set_user_attr("ended", str(why))
            note(f"trial {trial.number + 1}: {why}")
            raise optuna.TrialPruned from None
        note(f"trial {trial.number + 1}: {value:.4f} ({value - base:+.4f}) with {trial.params}")
        return value

    return run


def _found(retriever: R, study: optuna.Study, metric: str, base: float) -> Tuned[R]:
    import optuna

    rows = [Trial(0, retriever.model_dump(mode="json", exclude_unset=True), base, 0.0, "whole")]
    for trial in study.trials:
        if "settings" in trial.user_attrs:
            whole = trial.state == optuna.trial.TrialState.COMPLETE
            ended = "whole" if whole else trial.user_attrs.get("ended", "early")
            seconds = trial.duration.total_seconds() if trial.duration else 0.0
            settings = trial.user_attrs["settings"]
            rows.append(Trial(trial.number + 1, settings, trial.value if whole else None, seconds, ended))
    best = max((row for row in rows if row.value is not None), key=lambda row: (row.value or 0.0, -row.number))
    found = type(retriever).model_validate({**best.settings, "kind": retriever.kind}) if best.number else retriever
    return Tuned(found, metric, base, float(best.value or 0.0), rows, _worth(study))


def _worth(study: optuna.Study) -> dict[str, float]:
    """What each setting explains; nothing from too few whole trials."""
    import optuna

    if len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) < 8:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    total = sum(found.values()) or 1.0
    return {name: value / total for name, value in found.items()}
