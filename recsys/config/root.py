"""The whole config: every section, and the dataset mapping of the run."""

from __future__ import annotations

from pydantic import Field

from recsys.ctr.settings import TrainCtrSettings
from recsys.environment import Environment
from recsys.evaluation.settings import EvaluateSettings
from recsys.features.settings import CtrExamplesSettings
from recsys.ingest.dataset import Dataset
from recsys.ingest.settings import CleanSettings
from recsys.publishing.settings import PublishSettings
from recsys.rerank.settings import RankSettings
from recsys.retrieval.entries import Retrievers
from recsys.retrieval.registry import defaults
from recsys.retrieval.settings import CandidatesSettings, SignalSettings


class Config(Environment):
    """The whole config."""

    clean: CleanSettings = CleanSettings()
    signal: SignalSettings = SignalSettings()
    retrievers: Retrievers = Field(
        default_factory=defaults,
        description="What proposes items: a list of entries, or a mapping of names that changes the default list",
    )
    candidates: CandidatesSettings = CandidatesSettings()
    ctr_examples: CtrExamplesSettings = CtrExamplesSettings()
    train_ctr: TrainCtrSettings = TrainCtrSettings()
    rank: RankSettings = RankSettings()
    publish: PublishSettings = PublishSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    dataset: Dataset | None = Field(None, description="The parsed --dataset mapping; not a key of config files")
