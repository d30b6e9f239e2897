"""Everything that the evaluation of one day reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.evaluation import truth
from recsys.evaluation.baseline import baseline_lists
from recsys.evaluation.shown import shown_within
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
    baselines : mapping of str to Model
        By the name of a stage, what others are compared with; empty where it learned nothing or there is none.
    seen : DataFrame, optional
        user_id, item_id that were not to be recommended; None where seen items may be.
    model : mapping, optional
        The ranker's row of `models`.
    impressions : DataFrame, optional
        What was shown up to the end of the horizon; None where the data set has no shown lists.
    effects : DataFrame, optional
        position, effect: how much a position is looked at, 1 at the first.
    """

    as_of: datetime
    events: DataFrame
    items: DataFrame
    users: DataFrame
    candidates: DataFrame
    ranked: DataFrame
    final: DataFrame
    stages: Stages
    baselines: Mapping[str, Model[Any]]
    seen: DataFrame | None
    model: Mapping[str, Any] | None
    impressions: DataFrame | None = None
    effects: DataFrame | None = None

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
        exclude_unavailable: bool,
    ) -> DataFrame:
        """The truth: user_id, item_id; without what was not to be recommended, seen or unavailable."""
        found = truth.truth(
            self.events,
            as_of=self.as_of,
            horizon_days=horizon_days,
            relevant_types=relevant_types,
            min_value=min_value,
            include_anonymous=include_anonymous,
        )
        if exclude_unavailable:
            found = found.join(self.items.where("NOT available").select("item_id"), on="item_id", how="left_anti")
        if self.seen is not None and only_new_items:
            found = found.join(self.seen, on=["user_id", "item_id"], how="left_anti")
        return found.select("user_id", "item_id")

    def facts(self) -> DataFrame:
        """What metrics need to know of items; see `truth.item_facts`."""
        return truth.item_facts(self.past, self.items, as_of=self.as_of)

    def population(self, relevant: DataFrame) -> DataFrame:
        """The users with truth and their slices."""
        shown = None if self.impressions is None else self.impressions.where(F.col("shown_at") < F.lit(self.as_of))
        return truth.population(relevant, past=self.past, users=self.users, as_of=self.as_of, shown=shown)

    def shown(self, *, horizon_days: int) -> DataFrame | None:
        """What was shown within the horizon, and what came of it; None where the data set has no shown lists."""
        if self.impressions is None:
            return None
        return shown_within(self.impressions, self.events, as_of=self.as_of, horizon_days=horizon_days)

    def lists(
        self, population: DataFrame, *, shown: DataFrame | None, exclude_unavailable: bool, depth: int
    ) -> DataFrame:
        """The lists of every stage.

        The baselines' are made for the users with truth that the pipeline could reach, and for those who have
        candidates and were shown something: click rates over users with truth alone would leave out those who saw
        lists and clicked nothing.
        """
        eligible = Eligible(self.items.where("NOT available"), listed=False) if exclude_unavailable else None
        users = population.where("reachable").select("user_id")
        if shown is not None:
            listed = self.candidates.select("user_id").join(shown.select("user_id"), on="user_id", how="left_semi")
            users = users.unionByName(listed).distinct()
        baselines = {
            stage: baseline_lists(model, users=users, seen=self.seen, eligible=eligible, depth=depth)
            for stage, model in self.baselines.items()
        }
        return truth.judged_lists(
            candidates=self.candidates,
            # Without a ranker the order of its zeros is that of the ids.
            ranked=self.ranked.where(F.col("model_version") != RETRIEVAL_ONLY),
            recommendations=self.final,
            baselines=baselines,
            depth=depth,
        )
