"""Settings of the ranker: the config section `train_ctr`, and what the trainer, the bundle and the library use."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from recsys.ctr.inputs.settings import Inputs
from recsys.ctr.networks.registry import AnyNetwork, network_of
from recsys.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Section

CalibrationKind = Literal["platt", "temperature", "none"]


class TrainCtrSettings(Section):
    """`train_ctr`: what the ranker is, how it learns, and where it is trained."""

    network: AnyNetwork = Field(
        default_factory=partial(network_of, {}), description="The network: its `kind` and the settings of that network"
    )
    inputs: Inputs | None = Field(
        None, description="Every model input; null: the default inputs, and what each retriever offers"
    )
    embedding_l2: NonNegativeFloat = Field(1e-5, description="L2 on the embedding rows of a batch")
    optimizer: Literal["adagrad", "adam"] = Field(
        "adagrad", description="Optimizer of the embeddings (the dense part always uses Adam)"
    )
    embedding_learning_rate: PositiveFloat = Field(0.05, description="Learning rate of the embeddings")
    learning_rate: PositiveFloat = Field(1e-3, description="Learning rate of the dense part")
    batch_size: PositiveInt = Field(2048, description="Examples per step and rank")
    epochs: PositiveInt = Field(5, description="Maximum number of epochs")
    patience: PositiveInt = Field(
        1,
        description="Epochs without a better validation logloss before the learning rates fall; after as many again training stops",
    )
    correction: Literal["auto", "weights", "shift"] = Field(
        "auto",
        description="For sampled negatives: weights of 1 / sample_rate in the loss, or a shift of the logit; auto shifts where each class has one rate",
    )
    calibration: CalibrationKind = Field(
        "platt", description="Fitted on the validation split: slope and intercept, slope alone, or nothing"
    )
    min_examples: PositiveInt = Field(100, description="Fewer training examples stop the job with a clear message")
    seed: int = Field(7, ge=0, description="Seed of weights, dropout and shuffling")
    launcher: Literal["local", "horovod"] = Field(
        "local", description="Train in the driver's process, or by horovod.spark.run with one rank per executor slot"
    )
    ranks: PositiveInt | None = Field(None, description="Number of Horovod ranks; null: one per executor slot")
    start_timeout_seconds: PositiveInt = Field(600, description="How long Horovod waits for executors")
    stall_timeout_seconds: PositiveInt = Field(
        300, description="Ranks that wait for each other longer than this end the job"
    )
    threads: PositiveInt | None = Field(
        None, description="TensorFlow threads per rank; null: the machine's cores divided by its ranks"
    )
    cache_mb: PositiveInt = Field(
        2048, description="Memory of a rank for encoded examples; if they do not fit, every epoch reads them again"
    )
    shuffle_row_groups: PositiveInt = Field(
        8, description="Row groups shuffled together where the examples do not fit into the cache"
    )
    tensorboard: bool = Field(True, description="Write TensorBoard logs beside the model")
