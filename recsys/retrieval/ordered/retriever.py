"""Ordered item-item: its settings, and lists of what follows, followed from a user's latest items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame

from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.neighborhoods.following import follow, reached, recent
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel, NeighborLists
from recsys.retrieval.neighborhoods.similarity import Formula
from recsys.retrieval.ordered.counting import successor_lists
from recsys.retrieval.ordered.pairs import Steps, Successors
from recsys.retrieval.ordered.tables import ITEM_SUCCESSORS
from recsys.retrieval.reasons import Case, because_cases
from recsys.retrieval.touches import Within, check_sessions, touches
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveFloat, PositiveInt, Share


class OrderedModel(Model["Ordered"]):
    """What follows each item: the frame `successors`, `item_id, rank, successor_id, score, support`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "successors": ItemFrame(("item_id", "successor_id", "score"), "12", items=("item_id", "successor_id"))
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of history_decay^p x score over the user's latest items.

        p counts the items that the user touched later. `because_item_id` is the item that contributed most (of equals
        the latest).
        """
        return follow(self._latest(users), self._followed(), k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> ItemItemKernel:
        """Put the lists one after the other, by the positions of items and of what follows them."""
        table = tables["successors"]
        lists = NeighborLists.of(catalog, table["item_id"], table["successor_id"], table["score"])
        return ItemItemKernel(lists, self.settings.recent_items, self.settings.history_decay)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the sum that proposals are ordered by, and its largest term."""
        return reached(pairs, self._latest(pairs.select("user_id").distinct()), self._followed())

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the latest item that led to the proposal, if the user's own events show it."""
        return lists, because_cases()

    def _latest(self, users: DataFrame) -> DataFrame:
        settings = self.settings
        return recent(self.known_audience().histories, users, settings.recent_items, settings.history_decay)

    def _followed(self) -> DataFrame:
        return self.frames["successors"].withColumnRenamed("successor_id", "neighbor_id")


class Ordered(Retriever):
    """Ordered item-item: S_ij from touches of i that are followed by touches of j, the top `keep` per item i.

    S_ij is the sum of n_u^-b d^(distance - 1) / (n_i^a n_j^c) over the touches of j at most `window` touches after one
    of i, and `backward` times the same of those before it. With `window` 1 and `backward` 0 it is a first-order Markov
    chain (as in Rendle, Freudenthaler & Schmidt-Thieme, Factorizing Personalized Markov Chains, WWW 2010, without the
    factors). The distance and position weights are those of sequential nearest-neighbor rules (Ludewig & Jannach,
    Evaluation of Session-based Recommendation Algorithms, UMUAI 28, 2018).
    """

    kind: Literal["ordered"] = Field("ordered", description="The algorithm")
    name: Identifier = Field("ordered", description="What its proposals, tables and features go under")
    window: PositiveInt = Field(8, description="How many touches later an item may follow; 1: the next one alone")
    distance_decay: PositiveFloat = Field(
        0.8, le=1, description="A pair counts this much for each touch that lies from one of its items to the next"
    )
    backward: Share = Field(0.3, description="How much the way back counts, from the later item to the earlier one")
    within: Within = Field(
        "history", description="Whether pairs are of all that a user did (history), or of one session (session)"
    )
    within_days: PositiveFloat | None = Field(None, description="Longest time between the items of a pair, in days")
    half_life_days: PositiveFloat | None = Field(
        None, description="Days after which a pair counts half; null: no decay"
    )
    max_history: PositiveInt = Field(200, description="Touches per user (or session) that count, the latest ones")
    user_power: NonNegativeFloat = Field(0.5, description="b: how much a long sequence of touches is discounted")
    source_power: NonNegativeFloat = Field(0.5, description="a: how much a popular source is discounted")
    target_power: NonNegativeFloat = Field(0.25, description="c: how much a popular target item is discounted")
    shrinkage: NonNegativeFloat = Field(
        0.0, description="A score is multiplied by support / (support + shrinkage): less for pairs of few users"
    )
    keep: PositiveInt = Field(100, description="Successors kept per item")
    min_support: PositiveInt = Field(2, description="Fewest users (or sessions) that have the pair")
    recent_items: PositiveInt = Field(20, description="Latest items of a user whose successors are proposed")
    history_decay: PositiveFloat = Field(
        0.7, le=1, description="A latest item counts this much for each item that was touched later"
    )

    model = OrderedModel
    tables = {"successors": ITEM_SUCCESSORS}
    features = (
        Feature("score", "Sum over the user's latest items of decay x how much it follows; null for users without any"),
        Feature("rank", "Rank among what follows the user's latest items; null where it was not proposed"),
        Feature("best", "Largest term of that sum"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items", "history_decay"}

    def drawn(self, draw: Draw) -> Ordered:
        """Draw how far and how much order counts, and the discounts of the popular."""
        found = {
            "window": draw.one_of("window", (1, 2, 4, 8, 16)),
            "distance_decay": draw.number("distance_decay", 0.3, 1.0),
            "backward": draw.number("backward", 0.0, 1.0),
            "user_power": draw.number("user_power", 0.0, 1.0),
            "source_power": draw.number("source_power", 0.0, 1.0),
            "target_power": draw.number("target_power", 0.0, 1.0),
            "min_support": draw.one_of("min_support", (1, 2, 3)),
            "history_decay": draw.number("history_decay", 0.3, 1.0),
        }
        return self.model_copy(update=found)

    def learn(self, data: TrainingData) -> OrderedModel:
        """Count what follows what. Only the size of the item index is looked at before the frame is used.

        Raises
        ------
        NothingToDo
            If `within` is session and no event has one.
        """
        if self.within == "session":
            check_sessions(data.log.events, name=self.name)
        lists = successor_lists(
            touches(data.log.events, as_of=data.as_of, signal=data.signal, within=self.within),
            data.interactions,
            data.item_index,
            steps=self.steps(int(data.as_of.timestamp() * 1_000_000)),
            kernel=self.successors,
            broadcast_limit_mb=data.broadcast_limit_mb,
        )
        return OrderedModel(self, {"successors": lists}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)

    def steps(self, as_of: int) -> Steps:
        """How touches are paired; the instant in microseconds."""
        return Steps(
            self.max_history,
            self.window,
            self.distance_decay,
            self.backward,
            self.user_power,
            self.within_days,
            self.half_life_days,
            as_of,
        )

    @property
    def successors(self) -> Successors:
        """Which pairs are kept, and how they are scored."""
        powers = (self.user_power, self.source_power, self.target_power)
        return Successors(self.keep, self.min_support, Formula("generalized", powers, self.shrinkage))
