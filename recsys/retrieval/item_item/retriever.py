"""Item-item co-occurrence: its settings, and neighbor lists that are followed from a user's recent items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

import pyarrow as pa
from pydantic import Field, model_validator
from pyspark.sql import DataFrame

from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.item_item.tables import ITEM_NEIGHBORS
from recsys.retrieval.neighborhoods.counting import neighbor_lists
from recsys.retrieval.neighborhoods.following import follow, reached, recent
from recsys.retrieval.neighborhoods.histories import Cut
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel, NeighborLists
from recsys.retrieval.neighborhoods.similarity import ONLY_COUNTS, Formula, Similarity
from recsys.retrieval.reasons import Case, because_cases
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveFloat, PositiveInt, conflict


class ItemItemModel(Model["ItemItem"]):
    """Neighbor lists: the frame `neighbors`, `item_id, rank, neighbor_id, score, support`; ranks dense from 1."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "neighbors": ItemFrame(("item_id", "neighbor_id", "score"), "12", items=("item_id", "neighbor_id"))
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of share x similarity over the user's recent items.

        A share is the recent item's weight over the largest weight among them. `because_item_id` is the recent item
        that contributed most (of equals the latest).
        """
        latest = recent(self.known_audience().histories, users, self.settings.recent_items)
        return follow(latest, self.frames["neighbors"], k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> ItemItemKernel:
        """Put the lists one after the other, by the positions of items and of their neighbors."""
        table = tables["neighbors"]
        lists = NeighborLists.of(catalog, table["item_id"], table["neighbor_id"], table["score"])
        return ItemItemKernel(lists, self.settings.recent_items)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the sum that proposals are ordered by, and its largest term."""
        latest = recent(self.known_audience().histories, pairs.select("user_id").distinct(), self.settings.recent_items)
        return reached(pairs, latest, self.frames["neighbors"])

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the recent item that led to the proposal, if the user's own events show it."""
        return lists, because_cases()


class ItemItem(Retriever):
    """Item-item co-occurrence: S_ij from the users of two items, the top `keep` per item i.

    `generalized` is the sum over common users of n_u^-b / ((n_i + s)^a (n_j + s)^c), with s the smoothing, which keeps
    items with few users from looking special; without it, cosine (b = 0, a = c = .5), asymmetric cosine
    (Aiolli, RecSys 2013) and RP3-beta (Paudel et al., Updatable, Accurate, Diverse, and Scalable Recommendations for
    Interactive Applications, TiiS 2017) are cases of it. docs/retrieval.md has the formulas of all names.
    n_u and n_i count whole histories; pairs are made from each user's most recent items only, so that a user costs at
    most max_history^2 pairs.
    """

    kind: Literal["item_item"] = Field("item_item", description="The algorithm")
    name: Identifier = Field("neighbors", description="What its proposals, tables and features go under")
    similarity: Similarity = Field("generalized", description="How similar two items are, from counts of users")
    keep: PositiveInt = Field(100, description="Neighbors kept per item")
    max_history: PositiveInt = Field(
        100, description="Items per user that pairs are made from, the most recent ones; a hash decides between equals"
    )
    user_power: NonNegativeFloat = Field(0.5, description="b: how much a long history is discounted (`generalized`)")
    source_power: NonNegativeFloat = Field(
        1.0,
        description="a: how much a popular source is discounted (`generalized`; `asymmetric_cosine`, where c is 1 - a)",
    )
    target_power: NonNegativeFloat = Field(
        0.6, description="c: how much a popular target item is discounted (`generalized`, `rp3beta`)"
    )
    smoothing: NonNegativeFloat = Field(
        30.0, description="s: added to the users of an item before they are discounted (`generalized`)"
    )
    shrinkage: NonNegativeFloat = Field(
        0.0, description="A similarity is multiplied by support / (support + shrinkage): less for few users in common"
    )
    half_life_days: PositiveFloat | None = Field(
        None, description="Days after which an interaction counts half in each of its pairs; null: no decay"
    )
    min_support: PositiveInt = Field(2, description="Fewest users in common")
    recent_items: PositiveInt = Field(20, description="Recent items of a user whose neighbors are proposed")

    model = ItemItemModel
    tables = {"neighbors": ITEM_NEIGHBORS}
    features = (
        Feature("score", "Sum of share x similarity over the user's recent items; null for users without a past"),
        Feature("rank", "Neighbor rank; null where it was not proposed"),
        Feature("best", "Largest term of that sum"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items"}

    @model_validator(mode="after")
    def _settings_that_count(self) -> ItemItem:
        fields = type(self).model_fields
        # What equals the default may come from a file that names every setting.
        changed = {name for name in (*_POWERS, _SMOOTHING) if getattr(self, name) != fields[name].default}
        idle = sorted(changed - _used(self.similarity))
        if idle:
            raise conflict(
                f"similarity {self.similarity} takes no {' and no '.join(idle)}; leave them out, or set similarity: "
                "generalized"
            )
        if self.similarity in ONLY_COUNTS and self.half_life_days is not None:
            raise conflict(
                f"similarity {self.similarity} counts users, who can't count half; leave out half_life_days, or set "
                "similarity: generalized"
            )
        if self.similarity == "asymmetric_cosine" and self.source_power > 1:
            raise conflict(f"source_power of asymmetric_cosine lies between 0 and 1 (found {self.source_power:g})")
        return self

    def drawn(self, draw: Draw) -> ItemItem:
        """Draw a similarity with its powers, shrinkage and how far back a user's items count."""
        similarity = draw.one_of("similarity", get_args(Similarity))
        used = _used(similarity)
        powers = {name: draw.number(f"{similarity}.{name}", 0.0, 1.0) for name in sorted(used - {_SMOOTHING})}
        if _SMOOTHING in used:
            powers[_SMOOTHING] = draw.number(f"{similarity}.{_SMOOTHING}", 1.0, 300.0, log=True)
        idle = {*_POWERS, _SMOOTHING, *(["half_life_days"] if similarity in ONLY_COUNTS else [])}
        kept = self.model_dump(exclude={"kind", *idle}, exclude_unset=True)
        found = {
            "similarity": similarity,
            "shrinkage": draw.number("shrinkage", 0.1, 100.0, log=True),
            "recent_items": draw.one_of("recent_items", (5, 20, 100, 1000)),
        }
        return ItemItem.model_validate({**kept, **found, **powers})

    @property
    def formula(self) -> Formula:
        """The similarity with the powers that its name stands for."""
        b, a, c = self.user_power, self.source_power, self.target_power
        powers = {"generalized": (b, a, c), "asymmetric_cosine": (0.0, a, 1.0 - a), "rp3beta": (1.0, 1.0, c)}
        smoothing = self.smoothing if _SMOOTHING in _used(self.similarity) else 0.0
        return Formula(self.similarity, powers.get(self.similarity, (0.0, 0.5, 0.5)), self.shrinkage, smoothing)

    def learn(self, data: TrainingData) -> ItemItemModel:
        """Count common users. Only the size of the item index is looked at before the frame is used."""
        as_of = int(data.as_of.timestamp() * 1_000_000)
        cut = Cut(self.max_history, self.formula, self.half_life_days, as_of)
        lists = neighbor_lists(
            data.interactions,
            data.item_index,
            cut=cut,
            keep=self.keep,
            min_support=self.min_support,
            broadcast_limit_mb=data.broadcast_limit_mb,
        )
        return ItemItemModel(self, {"neighbors": lists}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)


_POWERS = ("user_power", "source_power", "target_power")
_SMOOTHING = "smoothing"


def _used(similarity: Similarity) -> set[str]:
    used = {"generalized": {*_POWERS, _SMOOTHING}, "asymmetric_cosine": {"source_power"}, "rp3beta": {"target_power"}}
    return used.get(similarity, set())
