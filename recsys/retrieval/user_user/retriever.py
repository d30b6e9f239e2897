"""User-user: its settings, and lists of what people of similar taste chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.frames import Eligible
from recsys.retrieval.neighborhoods.similarity import Formula
from recsys.retrieval.own_lists import OwnListsKernel, listed, looked_up, side_by_side
from recsys.retrieval.reasons import Case
from recsys.retrieval.training import TrainingData
from recsys.retrieval.user_user.sharing import choices, histories, similar_users
from recsys.retrieval.user_user.tables import NEIGHBOR_CHOICES, TOUCHED_ITEMS, USER_NEIGHBORS
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt, conflict

Alike = Literal["generalized", "cosine", "jaccard", "lift", "llr", "pearson", "tfidf", "bm25"]
"""Formulas that treat two users alike; who is the source changes no order."""


class UserUserModel(Model["UserUser"]):
    """Similar users and what they lead to: the frames `alike`, `choices` and `items`; see their tables."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {"items": ItemFrame(("item_id",), "0")}

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the best of what each user's neighbors touched; nothing for who has no neighbor."""
        return listed(self.frames["choices"], users, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> OwnListsKernel:
        """Know the items; the lists come with the users."""
        return OwnListsKernel(self.settings.name, catalog, 2 * self.settings.keep_items)

    def user_columns(self) -> DataFrame:
        """`user_id, idx, score`: side by side, what the user's neighbors lead to."""
        return side_by_side(self.frames["choices"], self.known_audience().item_index)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the score of what the user's neighbors lead to, 0 for all else."""
        return looked_up(pairs, self.frames["choices"])

    def among(self, eligible: Eligible | None) -> Self:
        """Return the model that proposes eligible items alone."""
        model = super().among(eligible)
        if eligible is None:
            return model
        return replace(model, frames={**model.frames, "choices": eligible.of(self.frames["choices"])})

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Say that similar users chose it, if at least two of them did."""
        count = f"{self.settings.name}:users"
        mine = self.frames["choices"].select("user_id", "item_id", F.col("users").alias(count))
        sentence = F.lit("People with similar taste chose this")
        return lists.join(mine, on=["user_id", "item_id"], how="left"), [
            Case(F.col(f"`{count}`") >= 2, "similar_taste", sentence)
        ]


class UserUser(Retriever):
    """User-user neighborhoods: what the users who share most items with a user touched.

    The neighbors are those of item-item co-occurrence with users and items exchanged: `generalized` is the sum over
    common items of n_i^-b / (n_u n_v)^c, with n_i users of an item and n_u items of a user. The score of an item is the
    sum over the neighbors who touched it of similarity x share, where a share is the item's weight over the largest of
    that neighbor. Lists are made when it is fitted, so new events count with the next fit.
    """

    kind: Literal["user_user"] = Field("user_user", description="The algorithm")
    name: Identifier = Field("similar_users", description="What its proposals, tables and features go under")
    similarity: Alike = Field("generalized", description="How similar two users are, from counts of items")
    keep: PositiveInt = Field(100, description="Neighbors kept per user")
    max_users: PositiveInt = Field(
        1000, description="Users per item that pairs are made from, chosen by a hash: an item costs at most its square"
    )
    item_power: NonNegativeFloat = Field(
        0.5, description="b: how much an item in common is discounted for its users (`generalized`)"
    )
    user_power: NonNegativeFloat = Field(0.7, description="c: how much a long history is discounted (`generalized`)")
    shrinkage: NonNegativeFloat = Field(
        0.0, description="A similarity is multiplied by support / (support + shrinkage): less for few items in common"
    )
    min_support: PositiveInt = Field(1, description="Fewest items in common")
    max_history: PositiveInt = Field(
        200, description="Items of a neighbor that count, the most recent ones; a hash decides between equals"
    )
    keep_items: PositiveInt = Field(
        150, description="Items kept per user of those not touched yet, and as many of those that were"
    )

    model = UserUserModel
    tables = {"alike": USER_NEIGHBORS, "choices": NEIGHBOR_CHOICES, "items": TOUCHED_ITEMS}
    features = (
        Feature("score", "Sum of similarity x share over similar users; 0 for what is not in the user's list"),
        Feature("rank", "Rank among what similar users chose; null where it was not proposed"),
    )

    @model_validator(mode="after")
    def _settings_that_count(self) -> UserUser:
        fields = type(self).model_fields
        # What equals the default may come from a file that names every setting.
        idle = [name for name in ("item_power", "user_power") if getattr(self, name) != fields[name].default]
        if idle and self.similarity != "generalized":
            raise conflict(
                f"similarity {self.similarity} takes no {' and no '.join(idle)}; leave them out, or set similarity: "
                "generalized"
            )
        return self

    @property
    def formula(self) -> Formula:
        """The similarity, with the powers in the order of `Formula`."""
        general = self.similarity == "generalized"
        powers = (self.item_power, self.user_power, self.user_power) if general else (0.0, 0.5, 0.5)
        return Formula(self.similarity, powers, self.shrinkage)

    def drawn(self, draw: Draw) -> UserUser:
        """Draw how much long histories and popular items are discounted, and how many neighbors there are."""
        if self.similarity != "generalized":
            return self.model_copy(update={"keep": draw.one_of("keep", (30, 100, 300))})
        found = {
            "keep": draw.one_of("keep", (30, 100, 300)),
            "user_power": draw.number("user_power", 0.0, 1.0),
            "item_power": draw.number("item_power", 0.0, 1.0),
            "shrinkage": draw.number("shrinkage", 0.1, 100.0, log=True),
        }
        return self.model_copy(update=found)

    def learn(self, data: TrainingData) -> UserUserModel:
        """Find neighbors, and add up what they touched; frames are computed when they are used.

        Raises
        ------
        NothingToDo
            If there is no interaction.
        """
        if data.interactions.isEmpty():
            raise NothingToDo(
                f"{self.name} found no interaction before {data.as_of:%Y-%m-%dT%H:%M:%SZ}; widen signal.window_days, "
                "or choose a later --as-of"
            )
        alike = similar_users(
            data.interactions,
            data.user_index,
            formula=self.formula,
            as_of=data.as_of,
            max_users=self.max_users,
            keep=self.keep,
            min_support=self.min_support,
            broadcast_limit_mb=data.broadcast_limit_mb,
        )
        past = histories(data.interactions, data.item_index)
        made = choices(alike, past, data.item_index, max_history=self.max_history, keep=self.keep_items)
        items = data.interactions.groupBy("item_id").agg(F.count("*").alias("users"))
        frames = {"alike": alike, "choices": made, "items": items}
        return UserUserModel(self, frames, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
