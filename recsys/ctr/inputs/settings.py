"""What a network may be given: one entry per input, and the default inputs over the columns of `ctr_examples`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from recsys.data import AttributeFeature, Column, RetrieverFeature
from recsys.settings import Identifier, NonNegativeFloat, PositiveFloat, PositiveInt, Section, nearest, problem

NumericTransform = Literal["zscore", "log_zscore", "minmax", "robust", "quantile", "log", "buckets"]
NUMERIC_TRANSFORMS = get_args(NumericTransform)

_CATEGORIES = ("string", "int", "bigint", "boolean", "date")
_FITTING = {
    "categorical": _CATEGORIES,
    "numeric": ("double", "float", "int", "bigint", "boolean"),
    "sequence": tuple(f"array<{kind}>" for kind in _CATEGORIES),
    "multi_hot": tuple(f"array<{kind}>" for kind in _CATEGORIES),
    "vector": ("array<double>", "array<float>"),
}
"""Types of columns, as a contract writes them, that each kind of input can be made from."""


class InputSpec(Section):
    """One model input: a column of the examples and what becomes of it."""

    name: Identifier = Field(description="Name of the input")
    source: Identifier = Field(description="Column that it is made from")
    kind: Literal["categorical", "numeric", "sequence", "multi_hot", "vector"] = Field(
        description="What the column holds: a value, a number, an ordered list of values, a set of them, or an embedding"
    )
    transform: Literal[
        "vocabulary", "hash", "zscore", "log_zscore", "minmax", "robust", "quantile", "log", "buckets"
    ] = Field(description="What becomes of it")
    width: PositiveInt = Field(8, description="Embedding width; numeric inputs have an embedding only with buckets")
    buckets: PositiveInt = Field(10_000, description="Hash buckets, or quantile buckets of a numeric input")
    min_count: PositiveInt = Field(5, description="Rarer values share one id")
    max_vocabulary: PositiveInt = Field(200_000, description="Number of most frequent values that are kept")
    length: PositiveInt | None = Field(
        None,
        description="Values of a sequence that are used, newest first (null: 20), or of a set (null: the largest in training, up to 100)",
    )
    shares: Identifier | None = Field(None, description="Input whose vocabulary and embedding this one uses")
    l2: NonNegativeFloat | None = Field(None, description="L2 on its embedding; null: that of the training")
    missing: Literal["mean", "median", "most_frequent", "constant"] = Field(
        "mean", description="What stands for a number that is null, besides a second input that says so"
    )
    fill: float | None = Field(None, description="The number of `missing: constant`, as the column has it")
    by: Identifier | None = Field(
        None,
        description="Column of categories, each of which has a `missing` number of its own if at least min_count rows tell it",
    )
    winsorize: Annotated[float, Field(gt=0, lt=0.5)] | None = Field(
        None, description="Share of a number's values at either end that are drawn in to the quantile there"
    )
    robust_z: PositiveFloat | None = Field(
        None,
        description="Numbers further from the median are drawn in, in units of the median distance from it (/ .6745)",
    )

    @model_validator(mode="after")
    def _fits(self) -> InputSpec:
        numeric = self.transform in NUMERIC_TRANSFORMS
        if (self.kind in ("numeric", "vector")) != numeric or (self.kind == "vector" and self.transform != "zscore"):
            raise ValueError(f"input {self.name}: transform {self.transform} does not fit kind {self.kind}")
        plain = self.kind == "numeric" and self.transform != "buckets"
        changed = self.missing != "mean" or self.winsorize is not None or self.robust_z is not None
        if changed and not plain:
            raise ValueError(
                f"input {self.name}: missing, winsorize and robust_z are for numbers that are not in buckets"
            )
        if (self.missing == "constant") != (self.fill is not None):
            raise ValueError(f"input {self.name}: missing: constant and fill go together")
        if self.by is not None and (not plain or self.missing == "constant"):
            raise ValueError(f"input {self.name}: by is for numbers whose missing is mean, median or most_frequent")
        if self.winsorize is not None and self.robust_z is not None:
            raise ValueError(f"input {self.name}: give winsorize or robust_z, not both")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the examples that it is made from."""
        return (self.source,) if self.by is None else (self.source, self.by)


def contradiction(inputs: Sequence[InputSpec]) -> str | None:
    """Say which inputs can't stand side by side: two of one name, or one that shares what it can't."""
    by_name: dict[str, InputSpec] = {}
    for item in inputs:
        if item.name in by_name:
            return f"two inputs have the same name {item.name}; every entry of inputs needs a name of its own"
        by_name[item.name] = item
    for item in inputs:
        owner = by_name.get(item.shares or item.name)
        if owner is None:
            hint = nearest(str(item.shares), by_name, "it has to be one of")
            return f"input {item.name} shares {item.shares}, which is no input; {hint}"
        if owner is not item and (owner.shares is not None or owner.transform != item.transform):
            return (
                f"input {item.name} shares {item.shares}: that must be an input with the same transform which shares "
                "no other"
            )
    return None


def misfit(inputs: Sequence[InputSpec], columns: Sequence[Column]) -> str | None:
    """Say which input can't be made from the columns of a table."""
    types = {column.name: column.type for column in columns}
    for item in inputs:
        found = types.get(item.source)
        if found is None:
            hint = nearest(item.source, types, "they have")
            return f"input {item.name}: the examples have no column {item.source}; {hint}"
        if found not in _FITTING[item.kind]:
            return f"input {item.name}: column {item.source} is {found}, which does not fit a {item.kind} input"
        if item.by is not None and types.get(item.by) not in _CATEGORIES:
            return f"input {item.name}: by names {item.by}, which is no column of categories"
    return None


def _consistent(inputs: tuple[InputSpec, ...]) -> tuple[InputSpec, ...]:
    found = contradiction(inputs)
    if found is not None:
        raise problem(found)
    return inputs


Inputs = Annotated[tuple[InputSpec, ...], Field(min_length=1), AfterValidator(_consistent)]
"""Type of a setting that holds all inputs of a model."""


def numeric_input(name: str, transform: NumericTransform = "log_zscore") -> InputSpec:
    """Return a numeric input made from the column of the same name."""
    return InputSpec(name=name, source=name, kind="numeric", transform=transform)


def _categorical(name: str, width: int = 8) -> InputSpec:
    return InputSpec(name=name, source=name, kind="categorical", transform="vocabulary", width=width)


ITEM_MIN_COUNT = 20
"""Items with fewer training examples (histories count) share one embedding: one of their own would learn them by heart."""
_CATEGORICAL = (
    InputSpec(
        name="item", source="item_id", kind="categorical", transform="vocabulary", width=16, min_count=ITEM_MIN_COUNT
    ),
    InputSpec(name="history", source="history", kind="sequence", transform="vocabulary", width=16, shares="item"),
    _categorical("item_category"),
    _categorical("item_brand"),
    _categorical("user_segment", 4),
    _categorical("country", 4),
    _categorical("device", 4),
    _categorical("position", 4),
    _categorical("hour", 4),
    _categorical("day_of_week", 4),
    _categorical("session_last_event", 4),
)
_LOG = (
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
    "session_seconds",
    "session_idle_seconds",
    "session_idle_steps",
    "session_item_events",
    "session_item_clicks",
    "session_item_order",
    "list_touched",
    "item_shown",
    "user_brand_shown",
    "user_brand_clicks",
    "user_category_shown",
    "user_category_clicks",
    "user_band_shown",
    "user_band_clicks",
    "user_item_shown",
    "user_item_skipped",
    "user_item_shown_days",
)
_PLAIN = (
    "price_rank_in_list",
    "price_to_list_mean",
    "user_age",
    "item_value_mean_365d",
    "user_category_share",
    "is_last_item",
    "is_last_click",
    "last_item_distance",
    "touched_distance",
    "touched_nearest",
    "price_to_last_item",
    "item_ctr_7d",
    "item_ctr_30d",
    "item_ctr",
    "brand_ctr",
    "category_ctr",
    "category_segment_ctr",
    "user_brand_lift",
    "user_category_lift",
    "user_band_lift",
    "price_level",
    "user_price_level",
    "price_level_gap",
    "click_affinity",
    "session_variety",
    "user_hour_share",
    "user_weekend_share",
)
_IN_STEPS = (
    "last_item_distance",
    "touched_distance",
    "touched_nearest",
    "session_idle_seconds",
    "session_seconds",
    "session_item_events",
    "user_item_seconds",
    "price_rank_in_list",
    "price_to_list_mean",
    "price_to_last_item",
)
"""Numbers of a pair whose effect is no straight line: next to the item touched last it counts on which side."""
_STEPS = 16


def stepped_input(name: str) -> InputSpec:
    """Return an input with an embedding per quantile bucket of the column of that name: `<name>_step`."""
    return InputSpec(name=f"{name}_step", source=name, kind="numeric", transform="buckets", buckets=_STEPS)


def retrieved_inputs(features: Sequence[RetrieverFeature]) -> tuple[InputSpec, ...]:
    """Return the inputs that retrievers offer: by retriever in their order, its rank before its score."""
    order = list(dict.fromkeys(feature.name for feature in features))
    ordered = sorted(features, key=lambda feature: (order.index(feature.name), feature.what))
    return tuple(numeric_input(feature.column.name, feature.transform) for feature in ordered)


def attribute_inputs(attributes: Sequence[AttributeFeature]) -> tuple[InputSpec, ...]:
    """Return an input for each attribute that is a column of the examples, in their order."""
    return tuple(_attribute_input(attribute) for attribute in attributes)


def _attribute_input(attribute: AttributeFeature) -> InputSpec:
    name = attribute.column.name
    if attribute.kind == "numeric":
        return numeric_input(name, "zscore")
    if attribute.kind == "categorical":
        return _categorical(name)
    return InputSpec(name=name, source=name, kind="multi_hot", transform="vocabulary")


def default_inputs(retrieved: Sequence[InputSpec] = (), attributes: Sequence[InputSpec] = ()) -> tuple[InputSpec, ...]:
    """Return the inputs of a ranker whose config names none.

    Parameters
    ----------
    retrieved : sequence of InputSpec
        What the retrievers offer. Those in log scale stand before `candidate_rank`, all others at the end: the order
        of inputs is the order of columns in the network, and so decides the bits of its weights.
    attributes : sequence of InputSpec
        What attributes beyond the contract become; they stand at the very end.
    """
    in_log_scale = [item for item in retrieved if item.transform == "log_zscore"]
    others = [item for item in retrieved if item.transform != "log_zscore"]
    return (
        *_CATEGORICAL,
        *(numeric_input(name) for name in _LOG),
        *in_log_scale,
        numeric_input("candidate_rank"),
        numeric_input("candidate_score", "zscore"),
        *(numeric_input(name, "zscore") for name in _PLAIN),
        *(stepped_input(name) for name in _IN_STEPS),
        *others,
        *attributes,
    )
