"""Item2vec: its settings, and the items nearest to what a user touched last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.progress import note, step
from recsys.retrieval.base import Model
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.frames import Eligible, persisted
from recsys.retrieval.item2vec.kernel import VectorKernel
from recsys.retrieval.item2vec.tables import ITEM_VECTORS
from recsys.retrieval.item2vec.tastes import cosines, tastes
from recsys.retrieval.item2vec.training import Skipgram, sentences, vectors, vocabulary
from recsys.retrieval.kernels import Kernel
from recsys.retrieval.reasons import Case
from recsys.retrieval.touches import Within, check_sessions, touches
from recsys.retrieval.training import TrainingData
from recsys.retrieval.vectors.searching import VectorRetriever, sampled
from recsys.retrieval.vectors.topk import top_k
from recsys.settings import Identifier, PositiveFloat, PositiveInt


class Item2VecModel(Model["Item2Vec"]):
    """Vectors of items: the frame `vectors`, `item_id, idx, vector`; `idx` is null for what must not be proposed."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "vectors": ItemFrame(("item_id", "idx", "vector"), "4 * size(vector)")
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest cosine with the user's taste."""
        limit, graph_of = self.broadcast_limit_mb, self.settings.graph_of
        tastes = self._tastes(users)
        return top_k(tastes, self._listed(), k=k, exclude=exclude, broadcast_limit_mb=limit, graph_of=graph_of)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> VectorKernel:
        """Put the vectors in the order of their positions."""
        settings = self.settings
        return VectorKernel.of(
            catalog, tables["vectors"], recent_items=settings.recent_items, decay=settings.history_decay
        )

    def ready(self, kernel: Kernel) -> Kernel:
        """Link the items that may be proposed, if they are searched so."""
        assert isinstance(kernel, VectorKernel)
        return replace(kernel, graph=self.settings.graph_of(kernel.listed, self.broadcast_limit_mb))

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the cosine of the item's vector with the user's taste."""
        return cosines(pairs, self._tastes(pairs.select("user_id").distinct()), self.frames["vectors"])

    def among(self, eligible: Eligible | None) -> Self:
        """Return the model that proposes eligible items alone; the others still tell of users' tastes."""
        if eligible is None:
            return self
        every = self.frames["vectors"]
        listed = eligible.of(every.select("item_id", "idx"))
        marked = every.drop("idx").join(listed, on="item_id", how="left").select("item_id", "idx", "vector")
        return replace(self, frames={**self.frames, "vectors": marked})

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Point to the latest items as a whole: the taste is of all of them."""
        return lists, [Case(F.lit(True), "goes_with_latest", F.lit("Goes with your latest items"))]

    def recall(self, n_items: int) -> Mapping[str, float]:
        """Measure what a graph finds of exact lists; empty where none would be used."""
        settings, limit = self.settings, self.broadcast_limit_mb
        past = self.known_audience().histories.where("weight > 0")
        users = self._tastes(sampled(past.select("user_id").distinct()))
        return settings.recall(self._listed(), users, n_items=n_items, width=settings.vector_size, limit_mb=limit)

    def _listed(self) -> DataFrame:
        listed = self.frames["vectors"].where("idx IS NOT NULL")
        return listed.select("idx", "item_id", F.col("vector").alias("factors"))

    def _tastes(self, users: DataFrame) -> DataFrame:
        settings, histories = self.settings, self.known_audience().histories
        most, decay = settings.recent_items, settings.history_decay
        return tastes(users, self.frames["vectors"], histories, recent_items=most, decay=decay)


class Item2Vec(VectorRetriever):
    """Item2vec: vectors of items from what is touched around them, as of words from their neighbors in a text.

    Barkan & Koenigstein, Item2Vec: Neural Item Embedding for Collaborative Filtering (MLSP 2016), fitted by MLlib's
    Word2Vec: skip-gram with hierarchical softmax (Mikolov et al., NIPS 2013), where the paper draws negatives.
    """

    kind: Literal["item2vec"] = Field("item2vec", description="The algorithm")
    name: Identifier = Field("item2vec", description="What its proposals, tables and features go under")
    vector_size: PositiveInt = Field(64, description="Length of the vectors")
    window: PositiveInt = Field(5, description="Touches before and after an item that are predicted from it, at most")
    iterations: PositiveInt = Field(10, description="Passes over all touches")
    min_count: PositiveInt = Field(3, description="Items that are touched less often get no vector")
    max_items: PositiveInt = Field(
        200_000, description="Most items with a vector: the driver holds them. Above it the least touched get none"
    )
    learning_rate: PositiveFloat = Field(0.1, description="Size of the first steps; it falls to almost 0")
    within: Within = Field(
        "history", description="Whether a text is all that a user did (history), or one session (session)"
    )
    max_history: PositiveInt = Field(200, description="Touches per user (or session) that count, the latest ones")
    partitions: PositiveInt = Field(
        1,
        description="Parts that are learned from at a time, and averaged after each pass. With more than one the fit "
        "is faster and worse, and its last bits depend on which part is done first",
    )
    seed: int = Field(7, description="Seed of the first vectors and of the windows")
    recent_items: PositiveInt = Field(10, description="Latest items of a user that make the taste")
    history_decay: PositiveFloat = Field(
        0.5, le=1, description="A latest item counts this much for each item that was touched later"
    )

    model = Item2VecModel
    tables = {"vectors": ITEM_VECTORS}
    features = (
        Feature(
            "score", "Cosine of the item's vector with the mean of the user's latest; null where either lacks", "zscore"
        ),
        Feature("rank", "Rank among the items nearest to the user's latest; null where it was not proposed"),
    )
    not_fitted = VectorRetriever.not_fitted | {"recent_items", "history_decay"}

    def drawn(self, draw: Draw) -> Item2Vec:
        """Draw the size of the vectors, the window and how a taste fades."""
        found = {
            "vector_size": draw.one_of("vector_size", (32, 64, 128)),
            "window": draw.one_of("window", (2, 5, 10)),
            "learning_rate": draw.number("learning_rate", 0.01, 0.3, log=True),
            "min_count": draw.one_of("min_count", (1, 3, 5)),
            "history_decay": draw.number("history_decay", 0.3, 1.0),
        }
        return self.model_copy(update=found)

    def cheaper(self, share: float) -> Item2Vec:
        """Pass over the touches less often."""
        return self.model_copy(update={"iterations": max(1, round(self.iterations * share))})

    def learn(self, data: TrainingData) -> Item2VecModel:
        """Write the touches down as sentences, and fit vectors.

        Raises
        ------
        NothingToDo
            If no item is touched often enough, or `within` is session and no event has one.
        """
        if self.within == "session":
            check_sessions(data.log.events, name=self.name)
        touched = touches(data.log.events, as_of=data.as_of, signal=data.signal, within=self.within)
        limit = data.broadcast_limit_mb
        written = sentences(touched, data.item_index, most=self.max_history, broadcast_limit_mb=limit)
        with persisted(written) as text:
            least, n = vocabulary(text, min_count=self.min_count, max_items=self.max_items)
            if not n:
                raise NothingToDo(
                    f"{self.name}: no item was touched {least} times by people who touched others too; lower "
                    f"retrievers.{self.name}.min_count, or widen signal.window_days"
                )
            note(f"{self.name}: vectors of {n:,} items that were touched at least {least} times")
            with step("fit Word2Vec"):
                found = vectors(text, self.skipgram, min_count=least)
        frame = found.join(data.item_index, on="idx", how="inner").select("item_id", "idx", "vector")
        metrics = {"items": float(n), "min_count": float(least)}
        model = Item2VecModel(self, {"vectors": frame}, data.audience, metrics, limit)
        return replace(model, metrics={**metrics, **model.recall(n)})

    @property
    def skipgram(self) -> Skipgram:
        """How vectors are learned."""
        return Skipgram(
            self.vector_size,
            self.window,
            self.iterations,
            self.learning_rate,
            self.partitions,
            self.max_history,
            self.seed,
        )
