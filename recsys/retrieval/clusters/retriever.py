"""Clusters of profiles: their settings, and ready lists of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.clusters.counting import cluster_lists, cluster_members
from recsys.retrieval.clusters.tables import CLUSTER_ITEMS, CLUSTER_MEMBERS
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.popularity.counting import OVERALL
from recsys.retrieval.popularity.kernel import PopularKernel
from recsys.retrieval.popularity.listing import listed, walk
from recsys.retrieval.popularity.scores import Scoring
from recsys.retrieval.reasons import Case
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveFloat, PositiveInt


class ClustersModel(Model["Clusters"]):
    """Ready lists and who gets which: the frames `choices` and `members`; see their tables."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "choices": ItemFrame(("cluster", "rank", "item_id", "score"), "32")
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the first `k` items of the list of each user's cluster, then of everybody's, without excluded ones."""
        return walk(self._lists(), self._clusters(), users, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> PopularKernel:
        """Bring the lists; the clusters come with the users."""
        return PopularKernel.of(catalog, tables["choices"], segment="cluster", column=f"{self.settings.name}:cluster")

    def user_columns(self) -> DataFrame:
        """`user_id, cluster`."""
        return self.frames["members"].select("user_id", "cluster")

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the item's score in the list that the user gets."""
        return listed(pairs, self._lists(), self._clusters())

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Say that people like the user choose an item, where they do so more than everybody."""
        name = f"{self.settings.name}:more"
        shares = self.frames["choices"].select("cluster", "item_id", "score")
        everybody = shares.where(F.col("cluster") == OVERALL).select("item_id", F.col("score").alias("of_all"))
        more = (
            shares.where(F.col("cluster") != OVERALL)
            .join(everybody, on="item_id", how="left")
            .where(F.col("score") > F.coalesce("of_all", F.lit(0.0)))
            .select("cluster", "item_id", F.lit(True).alias(name))
        )
        asked = lists.select("user_id", "item_id").join(self.user_columns(), on="user_id", how="inner")
        found = asked.join(more, on=["cluster", "item_id"], how="inner").select("user_id", "item_id", name)
        return lists.join(found, on=["user_id", "item_id"], how="left"), [
            Case(F.col(f"`{name}`"), "popular_profile", F.lit("Popular with people like you"))
        ]

    def _lists(self) -> DataFrame:
        return self.frames["choices"].withColumnRenamed("cluster", "segment")

    def _clusters(self) -> DataFrame:
        return self.frames["members"].select("user_id", F.col("cluster").alias("segment"))


class Clusters(Retriever):
    """What people of like profiles choose: for users of whom nothing else is known.

    Users with the same values of some columns of their profiles are a cluster. Its list is ordered by the share of an
    item in what the cluster touches, drawn towards the share in what everybody touches: a cluster of whom little is
    known has nearly everybody's list, and users in no cluster have just that.
    """

    kind: Literal["clusters"] = Field("clusters", description="The algorithm")
    name: Identifier = Field("clusters", description="What its proposals, tables and features go under")
    k: PositiveInt = Field(50, description="Items proposed to each user")
    weight: NonNegativeFloat = Field(0.1, description="Weight in the union of the retrievers")
    by: tuple[str, ...] = Field(
        ("segment",),
        description="Columns of the profile that make a cluster, or keys of its attributes; `birth_year` by decades",
        min_length=1,
    )
    prior: PositiveFloat = Field(
        100.0, description="Weighted touches of everybody that each cluster starts with: the more, the later it differs"
    )
    min_users: PositiveInt = Field(5, description="Users of smaller clusters have everybody's list")
    keep: PositiveInt = Field(500, description="Items kept per cluster")
    window_days: PositiveInt = Field(
        30, description="Days that are counted; doubled while fewer than `keep` items are found"
    )

    model = ClustersModel
    tables = {"choices": CLUSTER_ITEMS, "members": CLUSTER_MEMBERS}
    features = (
        Feature("rank", "Popularity rank among people of like profiles; null where it was not proposed"),
        Feature("score", "Share in what people of like profiles touch, shrunk; 0 for an item that is not in the list"),
    )

    def drawn(self, draw: Draw) -> Clusters:
        """Draw how much everybody counts, and over how many days."""
        found = {
            "prior": draw.number("prior", 1.0, 10_000.0, log=True),
            "window_days": draw.one_of("window_days", (7, 14, 30, 90, 365)),
        }
        return self.model_copy(update=found)

    def learn(self, data: TrainingData) -> ClustersModel:
        """Count users per cluster and item. Nothing is computed before the frames are used.

        Raises
        ------
        ConfigError
            If profiles have no such column.
        """
        profiles = data.log.users
        if profiles is None:
            nobody = "user_id string, cluster string"
            members = data.log.events.sparkSession.createDataFrame([], nobody)
        else:
            members = cluster_members(profiles, by=self.by, min_users=self.min_users)
        lists = cluster_lists(
            data, members, scoring=Scoring(), window_days=self.window_days, prior=self.prior, keep=self.keep
        )
        frames = {"choices": lists, "members": members}
        return ClustersModel(self, frames, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
