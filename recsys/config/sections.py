"""The sections of the config: typed, frozen, strict. Every key has a default that is safe and a description.

`conf/base.yaml` and `docs/config.md` are generated from these models (`make docs`), so nothing is declared twice.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values are never coerced across kinds, nothing can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, validate_default=True)


class WarehouseConfig(Section):
    """Where the tables live."""

    path: str = Field(
        "warehouse",
        min_length=1,
        description="Directory of the tables in path mode; also holds models, snapshots and reports",
    )
    catalog: Identifier | None = Field(
        None, description="Catalog of the tables; with `database_name` switches to catalog mode"
    )
    database_name: Identifier | None = Field(
        None, description="Schema of the tables in catalog mode; null means path mode"
    )
    period: Literal["auto", "day", "month", "year"] = Field(
        "auto",
        description="Grain of partitions by date; auto chooses from the first batch so that a partition is worth a file",
    )


class InputConfig(Section):
    """Where the raw logs are."""

    root: str | None = Field(None, description="Directory that the paths of the dataset mapping are relative to")


class SparkConfig(Section):
    """The session. Ignored where a session is already running (Databricks, notebooks)."""

    profile: Literal["local", "cluster", "databricks"] = Field(
        "local", description="What the defaults of the session are made for"
    )
    master: str | None = Field(
        None, description="Master URL; null leaves it to spark-submit, or local[*] in the local profile"
    )
    driver_memory: str = Field("6g", pattern=r"^\d+[mg]$", description="Driver memory of the local profile")
    shuffle_partitions: PositiveInt | None = Field(
        None, description="Shuffle partitions; null: 2 per core locally, Spark's own on clusters"
    )
    checkpoint_dir: str | None = Field(None, description="Directory for ALS checkpoints; null: inside the warehouse")
    jars_dir: str | None = Field(
        None, description="Folder with the Delta jars (`make jars`), for machines without a registry"
    )
    broadcast_limit_mb: PositiveInt = Field(
        256, description="Largest thing that is broadcast; above it a partitioned path is taken"
    )
    conf: dict[str, str] = Field(default_factory=dict, description="Further Spark settings, as spark.key: value")


class CleanConfig(Section):
    """`clean`: what is refused, and when the run stops."""

    quarantine_limit: Share = Field(
        0.05, description="Largest share of broken rows (re-sent duplicates aside) per target table"
    )
    duplicate_limit: Share = Field(0.5, description="Largest share of duplicate rows per target table")
    earliest: str = Field("1990-01-01", description="Events before this date are quarantined (UTC date)")
    latest: str | None = Field(
        None, description="Events at or after this date are quarantined; null: one day after now"
    )
    max_id_length: PositiveInt = Field(256, description="Longer ids are quarantined")
    accept_changed_mapping: bool = Field(
        False,
        description="Go on although events without an id of their own get other ids than before, because the mapping "
        "changed; right if no file is read a second time",
    )
    session_gap_minutes: PositiveInt = Field(30, description="Inactivity that ends a session where the source has none")
    bot_events_per_minute: PositiveInt = Field(
        60, description="A user above this rate is a robot from the next minute on"
    )
    bot_events_per_hour: PositiveInt = Field(600, description="A user above this rate is a robot from the next hour on")


class SignalConfig(Section):
    """How strongly each event type speaks for an item. Shared by every retriever."""

    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: {
            "view": 1.0,
            "click": 1.0,
            "cart": 3.0,
            "purchase": 5.0,
            "play": 1.0,
            "rating": 1.0,
        },
        description="Weight of each event type that is a sign of interest; others are ignored",
    )
    use_value: Literal["no", "log", "linear"] = Field(
        "no", description="Multiply by the event's value: not at all, by log(1 + value), or as it is"
    )
    half_life_days: PositiveFloat | None = Field(
        None, description="Days after which an event counts half; null: no decay"
    )
    window_days: PositiveInt | None = Field(None, description="Ignore events older than this; null: the whole log")
    min_value: float | None = Field(
        None, description="Ignore ratings below this value (a low rating is no sign of interest)"
    )


class AlsConfig(Section):
    """`train_als`."""

    rank: PositiveInt = Field(64, description="Length of the factors")
    iterations: PositiveInt = Field(10, description="Alternations")
    reg: NonNegativeFloat = Field(0.1, description="Regularisation; MLlib scales it by each row's count")
    alpha: NonNegativeFloat = Field(4.0, description="Confidence per unit of weight (implicit feedback)")
    implicit: bool = Field(True, description="Implicit feedback; false fits the values themselves (ratings)")
    blocks: PositiveInt | None = Field(
        None, description="Blocks of users and of items; null: from the number of interactions"
    )
    min_user_events: PositiveInt = Field(2, description="Users with fewer items get no factors")
    min_item_events: PositiveInt = Field(2, description="Items with fewer users get no factors")
    seed: int = Field(7, description="Seed of the initial factors")


class NeighborsConfig(Section):
    """`neighbors`: generalised item-item co-occurrence, S_ij = sum over common users of n_u^-b / (n_i^a n_j^c)."""

    k: PositiveInt = Field(100, description="Neighbours kept per item")
    max_history: PositiveInt = Field(100, description="Items per user that pairs are made from, the most recent ones")
    user_power: NonNegativeFloat = Field(0.5, description="b: how much a long history is discounted")
    source_power: NonNegativeFloat = Field(0.5, description="a: how much a popular source item is discounted")
    target_power: NonNegativeFloat = Field(0.35, description="c: how much a popular target item is discounted")
    min_support: PositiveInt = Field(2, description="Fewest users in common")


class PopularConfig(Section):
    """`popular`."""

    k: PositiveInt = Field(500, description="Items kept per segment")
    window_days: PositiveInt = Field(
        30, description="Days that are counted; widened (doubling) while fewer than k items remain"
    )
    min_segment_users: PositiveInt = Field(50, description="Smaller segments fall back to everybody")


class CandidatesConfig(Section):
    """`candidates`."""

    k: PositiveInt = Field(100, description="Candidates kept per user")
    als_k: PositiveInt = Field(100, description="Candidates asked of ALS")
    neighbors_k: PositiveInt = Field(100, description="Candidates asked of the neighbours of recent items")
    popular_k: PositiveInt = Field(50, description="Candidates asked of popularity")
    recent_items: PositiveInt = Field(20, description="Recent items of a user that neighbours are taken of")
    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: {"als": 1.0, "neighbors": 1.0, "popular": 0.1},
        description="Weight of each retriever in the union's order",
    )
    rrf_k: PositiveFloat = Field(10.0, description="Constant of reciprocal rank fusion")
    user_window_days: PositiveInt | None = Field(
        None, description="Users without an event in these days are left out; null: everybody"
    )
    include_anonymous: bool = Field(False, description="Also recommend to visitors known by a session only")
    exclude_seen: bool = Field(True, description="Never recommend what the user already touched")
    seen_types: tuple[str, ...] = Field(
        ("purchase", "play", "rating"), description="Event types that make an item seen; `*` for all"
    )
    exclude_unavailable: bool = Field(True, description="Never recommend an item that the catalogue marks unavailable")


class ExamplesConfig(Section):
    """`ctr_examples`."""

    origin: Literal["auto", "impressions", "candidates"] = Field(
        "auto", description="Shown lists where there are any, else the past's candidates"
    )
    label_window_days: PositiveInt = Field(7, description="Days before as_of that candidates are labelled by")
    label_types: tuple[str, ...] = Field(
        ("click", "cart", "purchase", "play", "rating"),
        description="Event types after a candidate that make it positive",
    )
    window_days: PositiveInt = Field(30, description="Days of shown lists that are learned from")
    negatives_per_positive: PositiveFloat = Field(
        4.0, description="Negatives kept per positive, sampled by a hash of the key"
    )
    valid_share: Share = Field(
        0.15,
        description="Share of the latest time (or of the users, for one candidate instant) held for validation",
    )
    test_share: Share = Field(0.15, description="Share after that, held for test")
    history_length: PositiveInt = Field(20, description="Items of the history sequence")
    shards: PositiveInt = Field(8, description="Parquet shards of the training split; at least one per rank is read")

    @model_validator(mode="after")
    def _leaves_training(self) -> ExamplesConfig:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave no examples to train on; their sum has to be below 1")
        return self


class InputSpec(Section):
    """One model input: a column of the examples and what becomes of it."""

    name: Identifier = Field(description="Name of the input")
    source: Identifier = Field(description="Column that it is made from")
    kind: Literal["categorical", "numeric", "sequence"] = Field(description="What the column holds")
    transform: Literal["vocabulary", "hash", "zscore", "log_zscore", "buckets"] = Field(
        description="What becomes of it"
    )
    width: PositiveInt = Field(8, description="Embedding width; numeric inputs have one only with buckets")
    buckets: PositiveInt = Field(10_000, description="Hash buckets, or quantile buckets of a numeric input")
    min_count: PositiveInt = Field(5, description="Values rarer than this share one id")
    max_vocabulary: PositiveInt = Field(200_000, description="Most frequent values kept")
    length: PositiveInt = Field(20, description="Values of a sequence that are used, newest first")
    shares: Identifier | None = Field(None, description="Input whose vocabulary and embedding this one uses")

    @model_validator(mode="after")
    def _fits(self) -> InputSpec:
        numeric = self.transform in ("zscore", "log_zscore", "buckets")
        if (self.kind == "numeric") != numeric:
            raise ValueError(f"input {self.name}: transform {self.transform} does not fit kind {self.kind}")
        return self


def _numeric(name: str, transform: Literal["zscore", "log_zscore", "buckets"] = "log_zscore") -> InputSpec:
    return InputSpec(name=name, source=name, kind="numeric", transform=transform)


def _categorical(name: str, width: int = 8) -> InputSpec:
    return InputSpec(name=name, source=name, kind="categorical", transform="vocabulary", width=width)


DEFAULT_INPUTS: tuple[InputSpec, ...] = (
    InputSpec(name="item", source="item_id", kind="categorical", transform="vocabulary", width=16),
    InputSpec(name="history", source="history", kind="sequence", transform="vocabulary", width=16, shares="item"),
    _categorical("item_category"),
    _categorical("item_brand"),
    _categorical("user_segment", 4),
    _categorical("country", 4),
    _categorical("device", 4),
    _categorical("position", 4),
    _categorical("hour", 4),
    _categorical("day_of_week", 4),
    *(
        _numeric(name)
        for name in (
            "price",
            "user_events_7d",
            "user_events_30d",
            "user_events_365d",
            "user_purchases_365d",
            "item_events_7d",
            "item_events_30d",
            "item_events_365d",
            "item_purchases_365d",
            "item_age_days",
            "user_item_events",
            "user_item_seconds",
            "session_events",
            "session_item_events",
            "als_rank",
            "neighbors_rank",
            "neighbors_score",
            "popular_rank",
            "candidate_rank",
        )
    ),
    *(
        _numeric(name, "zscore")
        for name in (
            "price_rank_in_list",
            "price_to_list_mean",
            "user_age",
            "item_value_mean_365d",
            "user_category_share",
            "is_last_item",
            "last_item_distance",
            "als_score",
        )
    ),
)


class CtrConfig(Section):
    """`train_ctr`."""

    model: Literal["wide_deep", "deepfm"] = Field("deepfm", description="Architecture")
    inputs: tuple[InputSpec, ...] = Field(DEFAULT_INPUTS, description="The feature spec: every model input")
    hidden: tuple[PositiveInt, ...] = Field((128, 64), description="Widths of the deep part")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Dropout of the deep part")
    embedding_l2: NonNegativeFloat = Field(1e-5, description="L2 on the embedding rows of a batch")
    batch_norm: bool = Field(False, description="Batch normalisation in the deep part")
    optimizer: Literal["adagrad", "adam"] = Field(
        "adagrad", description="Optimiser of the embeddings (the dense part takes Adam)"
    )
    embedding_learning_rate: PositiveFloat = Field(0.05, description="Learning rate of the embeddings")
    learning_rate: PositiveFloat = Field(1e-3, description="Learning rate of the dense part")
    batch_size: PositiveInt = Field(2048, description="Examples per step and rank")
    epochs: PositiveInt = Field(5, description="Most epochs")
    patience: PositiveInt = Field(
        1, description="Epochs without a better validation logloss before the rate falls, then stops"
    )
    correction: Literal["auto", "weights", "shift"] = Field(
        "auto",
        description="For sampled negatives: weights of 1 / sample_rate in the loss, or a shift of the logit; "
        "auto shifts where each class has one rate",
    )
    calibration: Literal["platt", "temperature", "none"] = Field(
        "platt", description="Fitted on the validation split: slope and intercept, slope alone, or nothing"
    )
    launcher: Literal["local", "horovod"] = Field(
        "local", description="In-process, or horovod.spark.run with one rank per executor slot"
    )
    ranks: PositiveInt | None = Field(None, description="Number of ranks for horovod; null: one per executor slot")
    start_timeout_seconds: PositiveInt = Field(600, description="How long Horovod waits for executors")
    stall_timeout_seconds: PositiveInt = Field(300, description="Ranks that wait for each other for longer end the job")
    threads: PositiveInt | None = Field(None, description="TensorFlow threads per rank; null: cores over ranks")
    cache_mb: PositiveInt = Field(
        2048, description="Memory of a rank for encoded examples; more than fits is read anew in every epoch"
    )
    shuffle_row_groups: PositiveInt = Field(8, description="Row groups shuffled together where the cache is too small")
    tensorboard: bool = Field(True, description="Write TensorBoard logs beside the model")
    min_examples: PositiveInt = Field(100, description="Fewer training examples stop the job with a clear message")
    seed: int = Field(7, description="Seed of weights and shuffling")


class RankingConfig(Section):
    """`rank`."""

    k: PositiveInt = Field(20, description="Length of a user's list")
    batch_size: PositiveInt = Field(8192, description="Rows scored at once")
    retrieval_weight: Share = Field(
        0.75,
        description="Share of the retrieval order in the final score; the rest is the ranker's. Fitted on validation where `fit_blend`",
    )
    fit_blend: bool = Field(
        True, description="Choose retrieval_weight on the validation split where it has retrieval ranks"
    )
    diversity: Share = Field(0.1, description="Weight of category variety in the greedy re-ranking; 0 turns it off")
    max_per_category: PositiveInt | None = Field(None, description="Most items of a category in a list")
    blocked_items: tuple[str, ...] = Field((), description="Item ids never shown")
    blocked_categories: tuple[str, ...] = Field((), description="Categories never shown")


class PublishConfig(Section):
    """`publish`: gates that must hold before the slice is replaced."""

    min_users_share: Share = Field(0.9, description="Share of the users with candidates that must have a list")
    min_list_length: PositiveInt = Field(1, description="Shorter lists stop the job")
    optimize: bool = Field(True, description="OPTIMIZE the slice after the commit")


class EvaluationConfig(Section):
    """`evaluate`."""

    horizon_days: PositiveInt = Field(7, description="Days after as_of that are the truth")
    ks: tuple[PositiveInt, ...] = Field((5, 10, 20), description="Cut-offs")
    relevant_types: tuple[str, ...] = Field(
        ("click", "cart", "purchase", "play", "rating"), description="Event types that make an item relevant"
    )
    min_value: float | None = Field(
        None, description="Ratings below this value are not relevant; null: every rating counts"
    )
    only_new_items: bool = Field(True, description="Items that exclude_seen forbids are taken out of the truth")
    bootstrap: PositiveInt = Field(1000, description="Resamples of users for the intervals (Poisson bootstrap)")
    seed: int = Field(7, description="Seed of the resamples")


class RunnerConfig(Section):
    """How jobs behave around their work."""

    lease_minutes: PositiveInt = Field(
        30, description="A run on another host without a sign of life for so long is taken as dead"
    )
