"""A day with its truth, its users and its lists: what all figures of the day are computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame

from recsys.errors import DataError, NothingToDo
from recsys.evaluation.cold_start import crossed
from recsys.evaluation.day import Day
from recsys.evaluation.evaluate import figure_sums
from recsys.evaluation.rows import metric_rows, ranker_rows
from recsys.evaluation.settings import EvaluateSettings
from recsys.evaluation.shown import shown_figures, shown_sums
from recsys.evaluation.sources import source_overlap
from recsys.evaluation.stages import Stages
from recsys.evaluation.truth import PARTS, with_parts
from recsys.rerank.lists import RETRIEVAL_ONLY


@dataclass(frozen=True)
class Judged:
    """The frames that figures are computed from; each is read several times.

    Attributes
    ----------
    day : Day
        What was read.
    rules : EvaluateSettings
        How lists are judged.
    relevant, population, facts, lists : DataFrame
        See `recsys.evaluation.truth`.
    shown : DataFrame, optional
        What was shown within the horizon; None where the data set has no shown lists.
    model_version : str
        Version that made the final lists.
    """

    day: Day
    rules: EvaluateSettings
    relevant: DataFrame
    population: DataFrame
    facts: DataFrame
    lists: DataFrame
    shown: DataFrame | None
    model_version: str

    @classmethod
    def of(
        cls,
        day: Day,
        rules: EvaluateSettings,
        *,
        include_anonymous: bool,
        exclude_unavailable: bool,
        keep: Callable[[DataFrame], DataFrame],
    ) -> Judged:
        """Work out truth, users and lists of a day.

        Parameters
        ----------
        include_anonymous, exclude_unavailable : bool
            As the lists were made.
        keep : callable
            Keeps a frame for as long as figures are computed.

        Raises
        ------
        NothingToDo
            If no user has truth.
        DataError
            If there are no lists to judge.
        """
        facts = keep(day.facts())
        relevant = day.relevant(
            horizon_days=rules.horizon_days,
            relevant_types=rules.relevant_types,
            min_value=rules.min_value,
            only_new_items=rules.only_new_items,
            include_anonymous=include_anonymous,
            exclude_unavailable=exclude_unavailable,
        )
        relevant = keep(with_parts(relevant, facts))
        population = keep(day.population(relevant))
        if population.isEmpty():
            raise NothingToDo(
                f"no user has a relevant event in the horizon after {day.as_of:%Y-%m-%d %H:%M}: "
                "evaluate an earlier as_of, raise evaluate.horizon_days, or wait for later events"
            )
        first = day.final.select("model_version").first()
        if first is None:
            raise DataError(f"no recommendations for {day.as_of:%Y-%m-%d}; run the job publish for this as_of first")
        shown = day.shown(horizon_days=rules.horizon_days)
        shown = None if shown is None else keep(shown)
        lists = day.lists(population, shown=shown, exclude_unavailable=exclude_unavailable, depth=max(rules.ks))
        return cls(day, rules, relevant, population, facts, keep(lists), shown, first["model_version"])

    @property
    def stages(self) -> Stages:
        """What is judged: the day's stages, without the ranker if it made no lists."""
        return replace(self.day.stages, ranked=self.model_version != RETRIEVAL_ONLY)

    def metrics(self) -> DataFrame:
        """Rows of `metrics`."""
        day, rules = self.day, self.rules
        sums = self.shown_sums(self.stages)
        found = metric_rows(
            self.lists,
            stages=self.stages,
            as_of=day.as_of,
            model_version=self.model_version,
            relevant=self.relevant,
            population=self.population,
            facts=self.facts,
            ks=rules.ks,
            resamples=rules.bootstrap,
            seed=rules.seed,
            parts=PARTS,
            shown=None
            if sums is None
            else shown_figures(
                sums,
                stages=self.stages,
                ks=rules.ks,
                resamples=rules.bootstrap,
                corrected=day.effects is not None,
            ),
        )
        return found.unionByName(ranker_rows(found, model=day.model, as_of=day.as_of))

    def overlap(self) -> DataFrame:
        """Rows of `source_overlap`."""
        return source_overlap(
            self.day.candidates,
            relevant=self.relevant,
            population=self.population,
            names=self.stages.retrievers,
            as_of=self.day.as_of,
        )

    def cold_start(self) -> list[dict[str, Any]]:
        """How often cold users and cold items are listed and taken up; see `recsys.evaluation.cold_start`."""
        return crossed(
            self.day.final,
            ranked=self.day.ranked,
            relevant=self.relevant,
            population=self.population,
            facts=self.facts,
            names=self.stages.retrievers,
        )

    def sums(self, stages: Stages) -> DataFrame:
        """Sums of the metrics of the stages per slice and resample; see `figure_sums`."""
        return figure_sums(
            self.lists,
            relevant=self.relevant,
            population=self.population,
            facts=self.facts,
            ks=self.rules.ks,
            resamples=self.rules.bootstrap,
            seed=self.rules.seed,
            stages=stages.names,
            parts=PARTS,
        )

    def shown_sums(self, stages: Stages) -> DataFrame | None:
        """Sums of the clicks on what the lists hold; None where the data set has no shown lists."""
        if self.shown is None:
            return None
        return shown_sums(
            self.lists,
            self.shown,
            stages=stages,
            ks=self.rules.ks,
            effects=self.day.effects,
            clip=self.rules.propensity_clip,
            resamples=self.rules.bootstrap,
            seed=self.rules.seed,
        )
