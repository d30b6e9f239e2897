"""The whole config: every section, and the dataset mapping of the run."""

from __future__ import annotations

from pydantic import Field, model_validator

from recsys import data
from recsys.checks.settings import CheckSettings
from recsys.ctr.click_factors import ClickFactorsSettings
from recsys.ctr.inputs.settings import misfit
from recsys.ctr.settings import TrainCtrSettings
from recsys.data import ALL_TYPES
from recsys.environment import Environment
from recsys.evaluation.settings import EvaluateSettings
from recsys.features.settings import CtrExamplesSettings, InterestsSettings
from recsys.ingest.dataset import Dataset
from recsys.ingest.settings import CleanSettings
from recsys.publishing.settings import PublishSettings
from recsys.rerank.settings import RankSettings
from recsys.retrieval.entries import Retrievers
from recsys.retrieval.registry import defaults, features
from recsys.retrieval.settings import CandidatesSettings, SignalSettings
from recsys.settings import conflict

_IDS = tuple(data.CTR_EXAMPLES.column(name) for name in ("user_id", "item_id"))
"""Columns of the examples that are no features, and can be inputs."""


class Config(Environment):
    """The whole config."""

    clean: CleanSettings = CleanSettings()
    check: CheckSettings = CheckSettings()
    signal: SignalSettings = SignalSettings()
    interests: InterestsSettings = InterestsSettings()
    retrievers: Retrievers = Field(
        default_factory=defaults,
        description="What proposes items: a list of entries, or a mapping of names that changes the default list",
    )
    candidates: CandidatesSettings = CandidatesSettings()
    click_factors: ClickFactorsSettings = ClickFactorsSettings()
    ctr_examples: CtrExamplesSettings = CtrExamplesSettings()
    train_ctr: TrainCtrSettings = TrainCtrSettings()
    rank: RankSettings = RankSettings()
    publish: PublishSettings = PublishSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    dataset: Dataset | None = Field(None, description="The parsed --dataset mapping; not a key of config files")

    @model_validator(mode="after")
    def _inputs_are_columns(self) -> Config:
        columns = data.example_columns(
            [feature.column for feature in features(self.retrievers)],
            [attribute.column for attribute in self.ctr_examples.attribute_features],
        )
        problem = misfit(self.train_ctr.inputs or (), (*_IDS, *columns))
        if problem is not None:
            raise conflict(f"train_ctr.inputs, {problem}")
        return self

    @model_validator(mode="after")
    def _lists_can_be_published(self) -> Config:
        longest, least = min(self.rank.k, self.candidates.k), self.publish.min_list_length
        if least > longest:
            name = "rank.k" if longest == self.rank.k else "candidates.k"
            raise conflict(
                f"publish.min_list_length {least} is above {name} {longest}, so no list would ever be published; lower "
                "the one or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _seen_items_can_be_proposed(self) -> Config:
        seen = set(self.candidates.seen_types) if self.candidates.exclude_seen else set()
        for one in self.retrievers:
            if one.only_from and (ALL_TYPES in seen or set(one.only_from) <= seen):
                raise conflict(
                    f"retrievers.{one.name} proposes only what users have seen, and candidates.exclude_seen takes that "
                    f"out; set candidates.exclude_seen=false, take {' and '.join(one.only_from)} out of "
                    "candidates.seen_types, or remove the retriever"
                )
        return self

    def remarks(self) -> list[str]:
        """Say what is possible but hardly meant."""
        deepest, lengths = max(self.evaluate.ks), {"rank.k": self.rank.k, "candidates.k": self.candidates.k}
        shorter = " and ".join(f"{key} {k}" for key, k in lengths.items() if k < deepest)
        if not shorter:
            return []
        return [f"evaluate.ks reaches {deepest}, deeper than {shorter}; lists that end there are judged as they are"]
