"""Everything that the evaluation of one day reads, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import DataError, NothingToDo
from recsys.evaluation import truth
from recsys.evaluation.baseline import baseline_lists
from recsys.evaluation.rows import metric_rows, ranker_rows
from recsys.evaluation.stages import Stages
from recsys.rerank.lists import RETRIEVAL_ONLY
from recsys.retrieval.base import Model
from recsys.retrieval.frames import Eligible


@dataclass(frozen=True)
class Day:
    """The frames of one run date.

    Attributes
    ----------
    as_of : datetime
        The lists' exclusive bound.
    events : DataFrame
        The log up to the end of the horizon: truth lies at or after `as_of`, all else before it.
    items, users : DataFrame
        Catalog and profiles valid at `as_of`.
    candidates, ranked, final : DataFrame
        The run's slices of `candidates`, `ranked` and `recommendations`.
    stages : Stages
        What is judged.
    baseline : Model, optional
        The retriever that others are compared with; None where it learned nothing or there is none.
    seen : DataFrame, optional
        user_id, item_id that were not to be recommended; None where seen items may be.
    model : mapping, optional
        The ranker's row of `models`.
    """

    as_of: datetime
    events: DataFrame
    items: DataFrame
    users: DataFrame
    candidates: DataFrame
    ranked: DataFrame
    final: DataFrame
    stages: Stages
    baseline: Model[Any] | None
    seen: DataFrame | None
    model: Mapping[str, Any] | None

    @property
    def past(self) -> DataFrame:
        """Events before `as_of`."""
        return self.events.where(F.col("event_time") < F.lit(self.as_of))

    def relevant(
        self,
        *,
        horizon_days: int,
        relevant_types: Sequence[str],
        min_value: float | None,
        only_new_items: bool,
        include_anonymous: bool,
    ) -> DataFrame:
        """The truth: user_id, item_id; without what was seen, where that was not to be recommended."""
        found = truth.truth(
            self.events,
            as_of=self.as_of,
            horizon_days=horizon_days,
            relevant_types=relevant_types,
            min_value=min_value,
            include_anonymous=include_anonymous,
        )
        if self.seen is None or not only_new_items:
            return found
        return found.join(self.seen, on=["user_id", "item_id"], how="left_anti")

    def population(self, relevant: DataFrame) -> DataFrame:
        """The users with truth and their slices."""
        return truth.population(relevant, past=self.past, users=self.users, as_of=self.as_of)

    def lists(self, population: DataFrame, *, exclude_unavailable: bool, depth: int) -> DataFrame:
        """The lists of every stage, the baseline's made for the users that the pipeline could know."""
        eligible = Eligible(self.items.where("NOT available"), listed=False) if exclude_unavailable else None
        baselines = {}
        if self.baseline is not None:
            known = population.where("known").select("user_id")
            alone = baseline_lists(self.baseline, users=known, seen=self.seen, eligible=eligible, depth=depth)
            baselines[self.baseline.settings.name] = alone
        return truth.judged_lists(
            candidates=self.candidates,
            # Without a ranker the order of its zeros is that of the ids.
            ranked=self.ranked.where(F.col("model_version") != RETRIEVAL_ONLY),
            recommendations=self.final,
            baselines=baselines,
            depth=depth,
        )

    def facts(self) -> DataFrame:
        """What metrics need to know of items; see `truth.item_facts`."""
        return truth.item_facts(self.past, self.items, as_of=self.as_of)

    def metrics(
        self,
        *,
        lists: DataFrame,
        relevant: DataFrame,
        population: DataFrame,
        facts: DataFrame,
        ks: Sequence[int],
        resamples: int,
        seed: int,
    ) -> DataFrame:
        """Rows of `metrics`. Every frame is read several times: keep them while this one is.

        Raises
        ------
        NothingToDo
            If no user has truth.
        DataError
            If there are no lists to judge.
        """
        if population.isEmpty():
            raise NothingToDo(
                f"no user has a relevant event in the horizon after {self.as_of:%Y-%m-%d %H:%M}: "
                "evaluate an earlier as_of, raise evaluate.horizon_days, or wait for later events"
            )
        first = self.final.select("model_version").first()
        if first is None:
            raise DataError(f"no recommendations for {self.as_of:%Y-%m-%d}; run the job publish for this as_of first")
        found = metric_rows(
            lists,
            stages=replace(self.stages, ranked=first["model_version"] != RETRIEVAL_ONLY),
            as_of=self.as_of,
            model_version=first["model_version"],
            relevant=relevant,
            population=population,
            facts=facts,
            ks=ks,
            resamples=resamples,
            seed=seed,
        )
        return found.unionByName(ranker_rows(found, model=self.model, as_of=self.as_of))
