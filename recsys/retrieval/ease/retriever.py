"""EASE: its settings, and weights between items that are added up over a user's past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.progress import note
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.ease.learning import Size, measured, numbered, weights
from recsys.retrieval.ease.solving import Solver
from recsys.retrieval.ease.tables import ITEM_WEIGHTS
from recsys.retrieval.neighborhoods.following import follow, reached, recent
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel, NeighborLists
from recsys.retrieval.reasons import Case, because_cases
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, PositiveFloat, PositiveInt


class EaseModel(Model["Ease"]):
    """Weights between items: the frame `weights`, `item_id, rank, target_id, weight`; ranks dense from 1."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "weights": ItemFrame(("item_id", "target_id", "weight"), "12", items=("item_id", "target_id"))
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of share x weight over the user's past, where it is above 0.

        A share is an item's weight of interest over the largest among them. `because_item_id` is the item that
        contributed most (of equals the latest).
        """
        return follow(self._past(users), self._steps, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> ItemItemKernel:
        """Put the weights one after the other, by the positions of items."""
        table = tables["weights"]
        lists = NeighborLists.of(catalog, table["item_id"], table["target_id"], table["weight"])
        return ItemItemKernel(lists, self.settings.recent_items)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the sum that proposals are ordered by, and its largest term."""
        return reached(pairs, self._past(pairs.select("user_id").distinct()), self._steps)

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the item that spoke most for the proposal, if the user's own events show it."""
        return lists, because_cases()

    def _past(self, users: DataFrame) -> DataFrame:
        return recent(self.known_audience().histories, users, self.settings.recent_items)

    @property
    def _steps(self) -> DataFrame:
        found = self.frames["weights"]
        return found.select("item_id", F.col("target_id").alias("neighbor_id"), F.col("weight").alias("score"))


class Ease(Retriever):
    """A linear model: an item's score is the sum of weights B_ij over the items i of a user's past.

    B minimizes |X - X B|^2 + reg |B|^2 with a diagonal of zeros (Steck: Embarrassingly Shallow Autoencoders for Sparse
    Data, WWW 2019). The closed form takes the inverse of a dense matrix of items x items: 8 x items^2 bytes in one
    task, and a time that grows with items^3. The frame is computed when it is used, so save a model that is used more
    than once.
    """

    kind: Literal["ease"] = Field("ease", description="The algorithm")
    name: Identifier = Field("ease", description="What its proposals, tables and features go under")
    reg: PositiveFloat | None = Field(
        None, description="Regularization, in users; null: 8 x the users of the item of a mean interaction, 10 to 1000"
    )
    max_items: PositiveInt = Field(
        10_000,
        description="Most items of the model, those with most users; one task holds a matrix of 8 x max_items^2 bytes",
    )
    max_history: PositiveInt = Field(
        500, description="Items per user that it learns from, the most recent ones; a hash decides between equals"
    )
    weighted: bool = Field(
        False,
        description="Learn from each interaction's weight, over the user's largest; false: all interactions are alike",
    )
    keep: PositiveInt = Field(200, description="Weights kept per item, the largest by their absolute values")
    recent_items: PositiveInt = Field(200, description="Recent items of a user whose weights are added up")

    model = EaseModel
    tables = {"weights": ITEM_WEIGHTS}
    features = (
        Feature("score", "Sum of share x weight over the user's past; null for users without one", "zscore"),
        Feature("rank", "EASE rank; null where it was not proposed"),
        Feature("best", "Largest term of that sum", "zscore"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items"}

    def drawn(self, draw: Draw) -> Ease:
        """Draw the regularization and how far back a past counts."""
        found = {
            "reg": draw.number("reg", 5.0, 2000.0, log=True),
            "recent_items": draw.one_of("recent_items", (20, 100, 1000)),
        }
        return self.model_copy(update=found)

    def learn(self, data: TrainingData) -> EaseModel:
        """Count the interactions, and choose `reg`; weights are learned when the frame is used.

        Raises
        ------
        NothingToDo
            If fewer than two items were touched.
        """
        pairs = numbered(data.interactions, data.item_index, weighted=self.weighted)
        size = measured(pairs)
        if size.items < 2:
            raise NothingToDo(
                f"{self.name} found {size.items} items with an interaction before {data.as_of:%Y-%m-%dT%H:%M:%SZ}, and "
                "needs two; widen signal.window_days, or choose a later --as-of"
            )
        reg = size.reg if self.reg is None else self.reg
        self._tell(size, reg)
        solver = Solver(self.max_items, self.max_history, reg, self.keep)
        frames = {"weights": weights(pairs, data.item_index, solver)}
        figures = {"reg": reg, "items": float(size.items), "interactions": float(size.interactions)}
        return EaseModel(self, frames, data.audience, figures, data.broadcast_limit_mb)

    def _tell(self, size: Size, reg: float) -> None:
        cut = "" if size.items <= self.max_items else f", of which {self.name}.max_items keeps {self.max_items:,}"
        note(f"{self.name}: reg {reg:g} for {size.interactions:,} interactions with {size.items:,} items{cut}")
