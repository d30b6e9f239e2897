"""Alternating least squares by Spark MLlib, for implicit feedback or for ratings, and exact top-k from its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.data.log import Log
from recsys.errors import NothingToDo
from recsys.progress import note, step
from recsys.retrieval.als.factorizing import enough_users, factorized, interactions_of, measured, ordered, rmse
from recsys.retrieval.als.kernel import AlsKernel
from recsys.retrieval.als.newcomers import Rules, numbered, thin_users, with_new_events
from recsys.retrieval.als.reasons import too_little, why_none
from recsys.retrieval.als.sizing import ITERATIONS, ITERATIONS_OF_RATINGS, Size, fit_for
from recsys.retrieval.als.tables import ALS_ITEM_FACTORS, ALS_USER_FACTORS
from recsys.retrieval.audience import Audience, column_name
from recsys.retrieval.base import Model
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import ratings
from recsys.retrieval.kernels import Kernel
from recsys.retrieval.reasons import Case
from recsys.retrieval.settings import SignalSettings
from recsys.retrieval.training import TrainingData
from recsys.retrieval.vectors.affinity import RECENT
from recsys.retrieval.vectors.relating import related
from recsys.retrieval.vectors.search import ItemMatrix
from recsys.retrieval.vectors.searching import VectorRetriever
from recsys.retrieval.vectors.topk import top_k
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt

_PAIRS_PER_BLOCK = 1_000_000


class AlsModel(Model["Als"]):
    """Factors of users and of items: the frames `user_factors` and `item_factors`, each `idx, <id>, factors`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "item_factors": ItemFrame(("item_id", "factors"), "4 * size(factors)")
    }

    def folded(self, log: Log, *, signal: SignalSettings | None = None, since: datetime | None = None) -> AlsModel:
        """Take in what happened after the fit, by one more half-step of training instead of a new fit.

        Users are solved from all that the log holds of them, with the items' factors as they are; a user who did
        nothing new gets the factors of the fit again. Items that the fit did not have are then solved from the users'
        factors, if at least `min_item_events` users with factors touched them. Items that it had keep their factors,
        since those of the users follow from them.

        Parameters
        ----------
        log : Log
            Everything up to now, what the fit saw included.
        signal : SignalSettings, optional
            How much each event counts, as for the fit.
        since : datetime, optional
            Solve only users with an event from then on (the `as_of` of the fit, as a rule); the others keep the
            factors that they have.

        Returns
        -------
        AlsModel
            For the people and items of the log. Its factors are computed when they are used; `save` keeps them.

        Raises
        ------
        DataError
            If the model does not say what it was fitted with.
        """
        audience, settings = self.known_audience(), self.settings
        signal = signal or SignalSettings()
        log = numbered(log, users=self.frames["user_factors"], items=audience.item_index)
        pairs = settings.pairs(TrainingData(log, signal, None, self.broadcast_limit_mb))
        rules = Rules.of(
            self.metrics, settings.name, settings.reg, settings.alpha, settings.implicit, self.broadcast_limit_mb
        )
        frames = with_new_events(log, pairs, dict(self.frames), rules, since=since, least=settings.min_item_events)
        return replace(self, frames=frames, audience=Audience.of(log, signal=signal))

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the `k` largest inner products of each user who has factors."""
        known = self.frames["user_factors"].join(users.select("user_id"), on="user_id", how="inner")
        items = self.frames["item_factors"]
        limit = self.broadcast_limit_mb
        return top_k(known, items, k=k, exclude=exclude, broadcast_limit_mb=limit, graph_of=self.settings.graph_of)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> AlsKernel:
        """Put the items' factors in the order of their positions."""
        table, factors = tables["item_factors"], column_name(self.settings.name, "factors")
        place = catalog.find(table["item_id"])
        order = np.argsort(place)
        order = order[place[order] >= 0]
        if not len(order):
            return AlsKernel(ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32)), factors)
        vectors = np.ascontiguousarray(arrow.matrix(table["factors"])[order])
        return AlsKernel(ItemMatrix(place[order], vectors), factors)

    def ready(self, kernel: Kernel) -> Kernel:
        """Link the items, if they are searched so."""
        assert isinstance(kernel, AlsKernel)
        return replace(kernel, graph=self.settings.graph_of(kernel.items, self.broadcast_limit_mb))

    def user_columns(self) -> DataFrame:
        """`user_id, factors`."""
        return self.frames["user_factors"].select("user_id", "factors")

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the inner product, its cosine, and the cosine with the centroid of the user's recent items."""
        return related(pairs, self.frames["user_factors"], self.frames["item_factors"], self.known_audience().histories)

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Point to the people whose factors are alike."""
        return lists, [Case(F.lit(True), "similar_taste", F.lit("People with similar taste chose this"))]


class Als(VectorRetriever):
    """Alternating least squares: factors of users and items whose inner product is the score.

    Implicit feedback after Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (ICDM 2008),
    with confidence 1 + alpha x weight; or ratings. MLlib fits it.
    """

    kind: Literal["als"] = Field("als", description="The algorithm")
    name: Identifier = Field("als", description="What its proposals, tables and features go under")
    rank: PositiveInt | None = Field(None, description="Length of the factors; null: from the size of the data")
    iterations: PositiveInt | None = Field(None, description="Alternations; null: 12, or 15 for ratings")
    reg: NonNegativeFloat | None = Field(
        None, description="Regularization, which MLlib scales by each row's count; null: from the size of the data"
    )
    alpha: NonNegativeFloat | None = Field(
        None, description="Confidence per unit of weight (implicit feedback); null: from the density of the data"
    )
    implicit: bool = Field(True, description="Implicit feedback; false fits the values themselves (ratings)")
    blocks: PositiveInt | None = Field(
        None, description="Blocks of users and of items; null: from the number of interactions"
    )
    min_user_events: PositiveInt = Field(2, description="Users with fewer items are left out of the fit")
    min_item_events: PositiveInt = Field(2, description="Items with fewer users get no factors")
    fold_in: bool = Field(
        True, description="Whether users who were left out of the fit get factors from those of their items"
    )
    seed: int = Field(7, description="Seed of the initial factors")

    model = AlsModel
    tables = {"user_factors": ALS_USER_FACTORS, "item_factors": ALS_ITEM_FACTORS}
    features = (
        Feature("score", "Inner product of the factors of user and item; null where either has none", "zscore"),
        Feature("rank", "ALS rank; null where ALS did not propose it"),
        Feature("cosine", "Cosine of the two", "zscore"),
        Feature(
            "recent",
            f"Cosine of the item's factors with the mean of those of the user's {RECENT} latest items that have any",
            "zscore",
        ),
    )

    def learn(self, data: TrainingData) -> AlsModel:
        """Factorize the interactions.

        The input is computed once, in a fixed order and partitioning, before MLlib builds its blocks: the number of
        blocks decides the random start, so it comes from the data and not from the cluster.

        Raises
        ------
        NothingToDo
            If fewer pairs remain than a factorization needs.
        ConfigError
            If its equations can't be solved with these settings.
        """
        with persisted(self.pairs(data)) as pairs:
            with step("join interactions with indexes") as this:
                items = enough_users(pairs, least=self.min_item_events)
                this.rows = found = interactions_of(items)
            blocks = self.blocks or max(2, -(-found // _PAIRS_PER_BLOCK))
            with persisted(self._entries(pairs, items, blocks)) as ready:
                with step("order interactions") as this:
                    size = measured(ready)
                    this.rows = size.interactions
                pairs.unpersist()
                if size.users < 2 or size.items < 2:
                    key = f"retrievers.{self.name}"
                    why = why_none(data, implicit=self.implicit, key=key) if not size.interactions else None
                    least = (self.min_user_events, self.min_item_events)
                    raise NothingToDo(too_little(self.name, size, data.as_of, why, least))
                thin = pairs if self.fold_in and found > size.interactions else None
                return self._fit(ready, data, blocks, size, thin)

    def drawn(self, draw: Draw) -> Als:
        """Draw rank and regularization and, for implicit data, alpha."""
        found: dict[str, Any] = {"rank": draw.one_of("rank", (16, 32, 64, 128))}
        if self.implicit:
            # Together: the sparser the data, the larger both (docs/retrieval.md).
            alpha = draw.number("alpha", 0.5, 400.0, log=True)
            found |= {"alpha": alpha, "reg": alpha * draw.number("reg_to_alpha", 0.003, 0.5, log=True)}
        else:
            found["reg"] = draw.number("reg", 0.01, 1.0, log=True)
        return self.model_copy(update=found)

    def cheaper(self, share: float) -> Als:
        """Use fewer factors and iterations: regularization and alpha can be told apart with them."""
        usual = ITERATIONS if self.implicit else ITERATIONS_OF_RATINGS
        iterations = max(3, round((self.iterations or usual) * share))
        rank = None if self.rank is None else max(8, round(self.rank * share))
        return self.model_copy(update={"rank": rank, "iterations": iterations})

    def entries(self, data: TrainingData) -> DataFrame:
        """Return `user_idx, item_idx, weight`: pairs of indexed users and items that have enough company.

        Rare items are dropped first and users are counted on what is left, once; nothing is iterated.
        """
        pairs = self.pairs(data)
        items = enough_users(pairs, least=self.min_item_events)
        return self._entries(pairs, items, 2).select("user_idx", "item_idx", "weight")

    def pairs(self, data: TrainingData) -> DataFrame:
        """Return `user_idx, item_idx, weight`: all pairs of indexed users and items."""
        if self.implicit:
            found = data.interactions
        else:
            found = ratings(data.log.events, as_of=data.as_of, window_days=data.signal.window_days)
        return (
            found.join(data.user_index.withColumnRenamed("idx", "user_idx"), on="user_id", how="inner")
            .join(data.item_index.withColumnRenamed("idx", "item_idx"), on="item_id", how="inner")
            .select("user_idx", "item_idx", F.col("weight").cast("float").alias("weight"))
        )

    def _entries(self, pairs: DataFrame, items: DataFrame, blocks: int) -> DataFrame:
        frequent = pairs.join(items, on="item_idx", how="left_semi")
        return ordered(frequent, blocks=blocks, least=self.min_user_events)

    def _fit(self, ready: DataFrame, data: TrainingData, blocks: int, size: Size, thin: DataFrame | None) -> AlsModel:
        fit = fit_for(
            size, implicit=self.implicit, rank=self.rank, iterations=self.iterations, reg=self.reg, alpha=self.alpha
        )
        note(
            f"{self.name}: rank {fit.rank}, {fit.iterations} iterations, reg {fit.reg:g}, alpha {fit.alpha:g} for "
            f"{size.users:,} users, {size.items:,} items and {size.interactions:,} interactions"
        )
        with step("fit ALS"):
            fitted = factorized(ready, fit, implicit=self.implicit, blocks=blocks, seed=self.seed, key=self.name)
        figures = {**asdict(fit), "users": size.users, "items": size.items, "interactions": size.interactions}
        if not self.implicit:
            figures["train_rmse"] = rmse(fitted.transform(ready))
        users, items = (_numbered(side) for side in (fitted.userFactors, fitted.itemFactors))
        if thin is not None:
            users = thin_users(thin, users, items, Rules(fit.reg, fit.alpha, self.implicit, data.broadcast_limit_mb))
        frames = {
            "user_factors": users.join(data.user_index.select("idx", "user_id"), on="idx", how="inner"),
            "item_factors": items.join(data.item_index.select("idx", "item_id"), on="idx", how="inner"),
        }
        metrics = {name: float(value) for name, value in figures.items()}
        limit, n = data.broadcast_limit_mb, size.items
        items, users = frames["item_factors"], frames["user_factors"]
        metrics |= self.recall(items, users, n_items=n, width=fit.rank, limit_mb=limit)
        return AlsModel(self, frames, data.audience, metrics, limit)


def _numbered(factors: DataFrame) -> DataFrame:
    """Turn MLlib's `id, features` into `idx, factors`."""
    return factors.select(F.col("id").cast("int").alias("idx"), F.col("features").alias("factors"))
