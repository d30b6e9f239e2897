"""Settings of `ctr_examples` and of what `features` says of users in words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recsys import data
from recsys.data import AttributeFeature
from recsys.settings import Identifier, PositiveFloat, PositiveInt, Section, Unique, conflict


class AttributeSettings(Section):
    """An attribute beyond the contract that becomes a column of the examples, `<of>_<name>`."""

    of: Literal["user", "item", "context"] = Field(
        description="Whose attribute: the profile's, the catalog entry's, or the shown list's"
    )
    name: Identifier = Field(description="Key in the map attributes of users, items or impressions")
    kind: Literal["categorical", "multi_hot", "numeric"] = Field(
        description="One value, several values in one text, or a number"
    )
    separator: str = Field("|", min_length=1, description="What stands between the values of a multi_hot attribute")

    @property
    def feature(self) -> AttributeFeature:
        """The feature of the examples that it becomes."""
        return AttributeFeature(of=self.of, name=self.name, kind=self.kind, separator=self.separator)


class CtrExamplesSettings(Section):
    """`ctr_examples`: what the ranker learns from, and how examples are sampled and split.

    Candidates are labeled by the rule of `evaluate`: its horizon, types and least value.
    """

    origins: Annotated[tuple[Literal["candidates", "lists"], ...], Unique()] = Field(
        ("candidates", "lists"),
        min_length=1,
        description="Candidates of past instants (for the head engage), and shown lists (for click, cart and purchase)",
    )
    instants: PositiveInt = Field(4, description="Past instants whose candidates are learned from")
    cadence_days: PositiveInt | None = Field(
        None,
        description="Days between these instants, the newest of which is a horizon before as_of; null: evaluate.horizon_days",
    )
    window_days: PositiveInt = Field(60, description="Days of shown lists to learn from")
    negatives_per_positive: PositiveFloat = Field(
        4.0, description="Shown items without a click kept per click, sampled by a hash of the key"
    )
    candidate_negatives_per_positive: PositiveFloat = Field(
        10.0, description="The same for candidates that were not taken up"
    )
    holdout_share: float = Field(0.3, gt=0, lt=1, description="Share of the newest shown lists that is held out")
    holdout_users: PositiveInt = Field(
        5000, description="Most users of the newest instant whose candidates are held out, as whole lists"
    )
    history_length: PositiveInt = Field(20, description="Items of the history sequence")
    shards: PositiveInt = Field(8, description="Parquet shards of the training split; at least one per rank is read")
    priors: bool = Field(
        True, description="Whether click rates, lifts and price levels are computed; their columns are null without"
    )
    prior_window_days: PositiveInt = Field(60, description="Days before an example that they are computed from")
    half_life_days: PositiveFloat = Field(14.0, description="Age at which a user's clicks weigh half in lifts")
    attributes: tuple[AttributeSettings, ...] = Field(
        (), description="Attributes beyond the contract that become columns of the examples and inputs of the ranker"
    )

    @property
    def attribute_features(self) -> tuple[AttributeFeature, ...]:
        """The features of the examples that `attributes` become."""
        return tuple(attribute.feature for attribute in self.attributes)

    @model_validator(mode="after")
    def _attributes_have_names_of_their_own(self) -> CtrExamplesSettings:
        taken = {column.name for column in data.CTR_EXAMPLES.columns}
        for attribute in self.attributes:
            name = attribute.feature.column.name
            if name in taken:
                raise conflict(
                    f"ctr_examples.attributes: {attribute.name} of {attribute.of} would be the column {name}, which "
                    "there is already; map it under another name"
                )
            taken.add(name)
        return self


class InterestsSettings(Section):
    """`interests`: the table `user_interests`, in which `features` says what each user is interested in."""

    enabled: bool = Field(True, description="Whether the table is made")
    window_days: PositiveInt = Field(90, description="Days before as_of whose events count, by signal.weights")
    half_life_days: PositiveFloat = Field(30.0, description="Age at which an event counts half")
    k: PositiveInt = Field(10, description="Tags kept per user and kind (category, brand, tag)")
    attribute: Identifier = Field("tags", description="Key in the attributes of items that holds further tags")
    separator: str = Field("|", min_length=1, description="What stands between them")
