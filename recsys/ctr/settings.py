"""Settings of the ranker: the config section `train_ctr`, and what the trainer, the bundle and the library use."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from recsys.ctr.inputs.settings import Inputs
from recsys.ctr.networks.registry import AnyNetwork, network_of
from recsys.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Unique, conflict

Head = Literal["engage", "click", "cart", "purchase"]
CalibrationKind = Literal["platt", "temperature", "none"]


def _switch(value: Any) -> Any:
    """YAML reads `on` and `off` as booleans."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


Switch = Annotated[Literal["off", "on", "auto"], BeforeValidator(_switch)]
StopOn = Literal["logloss", "auc", "list_auc", "ndcg"]


class TrainCtrSettings(Section):
    """`train_ctr`: what the ranker is, how it learns, and where it is trained."""

    heads: Annotated[tuple[Head, ...], Unique()] = Field(
        ("engage", "click"),
        min_length=1,
        description="Targets, each with a network of its own: engage (from candidates), click, cart, purchase (from shown lists); those without data are left out",
    )
    ndcg_at: PositiveInt = Field(
        10, description="Cut-off of the NDCG that chooses the weights of the heads and judges the ranker"
    )
    network: AnyNetwork = Field(
        default_factory=partial(network_of, {}), description="The network: its `kind` and the settings of that network"
    )
    inputs: Inputs | None = Field(
        None, description="Every model input; null: the default inputs, and what each retriever offers"
    )
    loss: Literal["binary", "softmax", "pairwise"] = Field(
        "binary",
        description="Cross-entropy per example, softmax over each list, or pairs within a list weighted by their change of NDCG",
    )
    binary_share: float = Field(
        0.5, ge=0, le=1, description="Share of the cross-entropy per example in a loss over lists"
    )
    stop_on: StopOn = Field(
        "logloss",
        description="Validation metric that names the best epoch and the plateau; the last two are within lists",
    )
    propensity_clip: float | None = Field(
        None, ge=1, description="Examples weigh 1 / propensity, up to this, where the log has it; null: they don't"
    )
    user_embedding: Switch = Field(
        "auto", description="An embedding of the user as an input; auto: trained with and without, the better is kept"
    )
    user_l2: NonNegativeFloat = Field(0.01, description="L2 on the embedding of the user")
    user_min_count: PositiveInt = Field(5, description="Users with fewer training examples share one embedding")
    embedding_l2: NonNegativeFloat = Field(
        1e-5,
        description="L2 on embeddings: adagrad: on the rows that an example uses, on average over examples; adam: on all rows",
    )
    optimizer: Literal["adagrad", "adam"] = Field(
        "adagrad", description="Optimizer of the embeddings (the dense part always uses Adam)"
    )
    embedding_learning_rate: PositiveFloat = Field(0.02, description="Learning rate of the embeddings")
    learning_rate: PositiveFloat = Field(1e-3, description="Learning rate of the dense part")
    batch_size: PositiveInt = Field(512, description="Examples per step and rank")
    epochs: PositiveInt = Field(8, description="Maximum number of epochs")
    patience: PositiveInt = Field(
        1,
        description="Epochs without a better `stop_on` before the learning rates fall; after as many again training stops",
    )
    correction: Literal["auto", "weights", "shift"] = Field(
        "auto",
        description="For sampled negatives: weights of 1 / sample_rate in the loss, or a shift of the logit; auto shifts where each class has one rate",
    )
    calibration: CalibrationKind = Field(
        "platt", description="Fitted on rows held out for it: slope and intercept, slope alone, or nothing"
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
    refit: bool = Field(
        False,
        description="Train once more on all rows, those held out too, for as many epochs as were best; figures and calibration stay those of the first training, whose weights the second replaces",
    )
    tensorboard: bool = Field(True, description="Write TensorBoard logs beside the model")

    @model_validator(mode="after")
    def _agree(self) -> TrainCtrSettings:
        if self.loss != "binary" and self.correction == "shift":
            raise conflict(
                f"train_ctr.loss {self.loss} has sampling weights inside the list; train_ctr.correction has to be "
                "weights or auto"
            )
        return self
