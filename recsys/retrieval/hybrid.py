"""Several retrievers as one: fitted on one log, united as the job `candidates` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from numbers import Real
from typing import Any

from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from recsys.data.callers import AnyFrame
from recsys.data.log import Log
from recsys.errors import ConfigError, EnvironmentProblem, NothingToDo
from recsys.progress import note
from recsys.retrieval import registry, saved
from recsys.retrieval.audience import AnyUsers, Audience
from recsys.retrieval.base import Model, Retriever, check_k
from recsys.retrieval.blend import Blend, described
from recsys.retrieval.blending import fit_blend
from recsys.retrieval.candidates import candidates
from recsys.retrieval.entries import checked, saved_entry
from recsys.retrieval.frames import distinct_pairs
from recsys.retrieval.pair_features import with_pair_features
from recsys.retrieval.past_lists import labeled_by, past_lists
from recsys.retrieval.settings import CandidatesSettings, SignalSettings
from recsys.settings import nearest, refusal

_COLUMNS = ("user_id", "item_id", "rank", "score", "sources")


class Hybrid:
    """A union of retrievers: by weighted reciprocal ranks, or by fitted weights.

    Without a blend, an item's score is the sum of weight / (rrf_k + rank) over the retrievers that propose it (Cormack,
    Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009).

    Parameters
    ----------
    retrievers : sequence of Retriever
        With different names; by default those of the config.
    weights : mapping of str to float, optional
        Weights by name, instead of the retrievers' own.
    rrf_k : float, optional
        Constant of the reciprocal ranks; the config's default if None.
    blend : Blend, optional
        Fitted weights, from `HybridModel.with_fitted_weights`; they stand before `weights` and `rrf_k`.

    Raises
    ------
    ConfigError
        If there is no retriever, two have one name, a weight is negative or for none of them, `rrf_k` is not positive,
        or the blend lacks a retriever.
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever] | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        rrf_k: float | None = None,
        blend: Blend | None = None,
    ) -> None:
        unlike = _checked(registry.defaults() if retrievers is None else retrievers)
        self.retrievers = _weighted(unlike, weights or {})
        self.settings = _union({} if rrf_k is None else {"rrf_k": rrf_k})
        self.blend = _covering(blend, self.retrievers)

    def fit(self, log: Log, *, signal: SignalSettings | None = None) -> HybridModel:
        """Fit every retriever; one that finds too little to learn from is left out, and a note says so.

        Raises
        ------
        NothingToDo
            If none finds enough.
        """
        indexed, models = log.indexed(), []
        reasons = []
        for retriever in self.retrievers:
            try:
                models.append(retriever.fit(indexed, signal=signal))
            except NothingToDo as reason:
                reasons.append(str(reason))
                note(f"left out: {reason}")
        if not models:
            raise NothingToDo("; ".join(reasons))
        audience = Audience.of(indexed, signal=signal or SignalSettings())
        return HybridModel(models, audience, self.settings, self.blend)

    def __repr__(self) -> str:
        """Show the retrievers with what was set."""
        return f"Hybrid([{', '.join(map(repr, self.retrievers))}])"


@dataclass(frozen=True)
class HybridModel:
    """Fitted retrievers.

    Attributes
    ----------
    models : sequence of Model
    audience : Audience
        Who may be recommended to.
    settings : CandidatesSettings
        How the union is made.
    blend : Blend, optional
        Fitted weights of the union.
    """

    models: Sequence[Model[Any]]
    audience: Audience
    settings: CandidatesSettings
    blend: Blend | None = None

    def recommend(
        self, users: AnyUsers | None = None, k: int = 20, exclude_seen: bool = True, items: AnyFrame | None = None
    ) -> DataFrame:
        """Recommend items; the parameters are those of `Model.recommend`.

        A user who is not in the log gets the list of popularity if it is among the retrievers, else no rows.

        Returns
        -------
        DataFrame
            `user_id, item_id, rank, score, sources`: the sources are the names of the retrievers that proposed it.
        """
        check_k(k)
        audience = self.audience if users is None else self.audience.of_users(self.audience.users(users))
        # A longer list needs more proposals than usual.
        longer = [replace(model, settings=_at_least(model.settings, k), audience=audience) for model in self.models]
        settings = self.settings.model_copy(update={"k": k, "exclude_seen": exclude_seen})
        eligible = None if items is None else self.audience.eligible(items)
        found = candidates(audience, longer, settings, blend=self.blend, eligible=eligible)
        return audience.ids.restore(found.select(*_COLUMNS))

    def with_fitted_weights(
        self, taken: AnyFrame, *, exclude_seen: bool = True, lists: int = CandidatesSettings().fit_lists
    ) -> HybridModel:
        """Fit the weights of the union on what users took up after the log; see `recsys.retrieval.blending`.

        To use all data in the end, fit a new `Hybrid` on it with the `blend` of what this returns.

        Parameters
        ----------
        taken : DataFrame or pandas.DataFrame
            The log's user column and its item column: a validation part, nothing of which the models have learned.
        exclude_seen : bool
            As lists will be made.
        lists : int
            Users that weights are fitted on, at most; their candidates come to the driver.

        Returns
        -------
        HybridModel
            The same models, united by fitted weights where these are better, else by the weights that they have.
        """
        known = distinct_pairs(self.audience.adopted(taken))
        users = self.audience.of_users(known.select("user_id").distinct())
        settings = self.settings.model_copy(update={"exclude_seen": exclude_seen})
        labeled = labeled_by(known, candidates(users, self.models, settings))
        retrievers = [model.settings for model in self.models]
        past = past_lists(labeled, sorted(one.name for one in retrievers), lists=lists)
        found = fit_blend(past, Blend.of(retrievers, rrf_k=self.settings.rrf_k))
        note(f"{found.verdict()}; {described(found.blend)}")
        return replace(self, blend=found.blend)

    def score(self, pairs: AnyFrame) -> DataFrame:
        """Compute every model's pair features for any users and items; see `Model.score`."""
        found = with_pair_features(self.audience.adopted(pairs), self.models, self.audience)
        return self.audience.ids.restore(found)

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the models to a directory; `recsys.load` reads it.

        Raises
        ------
        DataError
            If there is a model already and `overwrite` is not set.
        """
        parts = [model.parts() for model in self.models]
        plain = {
            "models": [values for values, _ in parts],
            "union": self.settings.model_dump(mode="json"),
            "blend": None if self.blend is None else self.blend.figures(),
            **self.audience.plain(),
        }
        frames = {place: frame for _, placed in parts for place, frame in placed.items()}
        saved.write(path, plain, {**frames, **self.audience.frames()}, overwrite=overwrite)


def _checked(retrievers: Sequence[Retriever]) -> tuple[Retriever, ...]:
    try:
        return checked(retrievers)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _covering(blend: Blend | None, retrievers: Sequence[Retriever]) -> Blend | None:
    absent = [] if blend is None else [one.name for one in retrievers if not blend.covers([one.name])]
    if absent:
        raise ConfigError(f"the blend has no weight for {absent[0]}; fit it for these retrievers, or leave it out")
    return blend


def _union(values: Mapping[str, Any]) -> CandidatesSettings:
    try:
        return CandidatesSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(refusal("Hybrid", CandidatesSettings, error)) from None


def _weighted(retrievers: Sequence[Retriever], weights: Mapping[str, float]) -> tuple[Retriever, ...]:
    """Give retrievers other weights, by their names."""
    names = [retriever.name for retriever in retrievers]
    for name, weight in weights.items():
        if name not in names:
            hint = nearest(str(name), names, "they are")
            raise ConfigError(f"a weight is given for {name}, which is no retriever of this hybrid; {hint}")
        if not (isinstance(weight, Real) and 0 <= float(weight) < inf):
            raise ConfigError(f"the weight of {name} is {weight!r}; give a number of at least 0")
    return _checked(
        [
            retriever.model_copy(update={"weight": float(weights[retriever.name])})
            if retriever.name in weights
            else retriever
            for retriever in retrievers
        ]
    )


def _at_least(retriever: Retriever, k: int) -> Retriever:
    return retriever.model_copy(update={"k": max(k, retriever.k)})


def load(path: str, *, spark: SparkSession | None = None) -> Model[Any] | HybridModel:
    """Read a saved model, of one retriever or of a hybrid.

    Parameters
    ----------
    spark : SparkSession, optional
        By default the active one.

    Raises
    ------
    EnvironmentProblem
        If there is no session.
    DataError
        If nothing was saved there.
    """
    session = spark or SparkSession.getActiveSession()
    if session is None:
        raise EnvironmentProblem("a saved model needs a running Spark session; start one with recsys.session()")
    plain, frame = saved.read_settings(session, path), partial(saved.read_frame, session, path)
    audience = Audience.read(plain, frame)
    models: list[Model[Any]] = []
    for one in plain["models"]:
        retriever = saved_entry(one["retriever"])
        frames = {name: frame(f"{retriever.name}/{name}") for name in retriever.tables}
        models.append(retriever.model(retriever, frames, audience, one["metrics"]))
    if "union" not in plain:
        return models[0]
    figures = plain.get("blend")
    blend = None if figures is None else Blend.from_figures(figures)
    return HybridModel(models, audience, CandidatesSettings(**plain["union"]), blend)
