"""The whole config: every section, and the dataset mapping that a run was given."""

from __future__ import annotations

from pydantic import Field

from recsys.config.dataset import Dataset
from recsys.config.sections import (
    AlsConfig,
    CandidatesConfig,
    CleanConfig,
    CtrConfig,
    EvaluationConfig,
    ExamplesConfig,
    InputConfig,
    NeighborsConfig,
    PopularConfig,
    PublishConfig,
    RankingConfig,
    RunnerConfig,
    Section,
    SignalConfig,
    SparkConfig,
    WarehouseConfig,
)


class Config(Section):
    """The whole config."""

    warehouse: WarehouseConfig = WarehouseConfig()
    input: InputConfig = InputConfig()
    spark: SparkConfig = SparkConfig()
    clean: CleanConfig = CleanConfig()
    signal: SignalConfig = SignalConfig()
    als: AlsConfig = AlsConfig()
    neighbors: NeighborsConfig = NeighborsConfig()
    popular: PopularConfig = PopularConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    examples: ExamplesConfig = ExamplesConfig()
    ctr: CtrConfig = CtrConfig()
    ranking: RankingConfig = RankingConfig()
    publish: PublishConfig = PublishConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    runner: RunnerConfig = RunnerConfig()
    dataset: Dataset | None = Field(None, description="The parsed --dataset mapping; not a key of config files")
