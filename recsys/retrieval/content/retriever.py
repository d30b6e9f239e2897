"""Content: its settings, and lists of items that are like the user's recent ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data.catalogs import added_before
from recsys.errors import NothingToDo
from recsys.progress import note
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.content.fields import Part, attribute_parts, column_parts, said, text_parts
from recsys.retrieval.content.kernel import ContentKernel, faded
from recsys.retrieval.content.similar import similar_items
from recsys.retrieval.content.tables import SIMILAR_ITEMS
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.neighborhoods.following import follow, reached, recent
from recsys.retrieval.neighborhoods.kernel import NeighborLists
from recsys.retrieval.reasons import Case, sentence
from recsys.retrieval.training import TrainingData
from recsys.settings import Entries, Identifier, NonNegativeFloat, PositiveInt, Share, conflict

Weights = Annotated[dict[str, NonNegativeFloat], Entries()]


class ContentModel(Model["Content"]):
    """Similar items: the frame `similar`, `item_id, rank, neighbor_id, score, shared_brand, shared_category`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "similar": ItemFrame(("item_id", "neighbor_id", "score"), "12", items=("item_id", "neighbor_id"))
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of share x cosine over the user's recent items.

        A share is the faded weight of a recent item over the largest among them. `because_item_id` is the recent item
        that contributed most (of equals the latest).
        """
        return follow(self._latest(users), self.frames["similar"], k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> ContentKernel:
        """Put the lists one after the other, by the positions of items."""
        table, settings = tables["similar"], self.settings
        lists = NeighborLists.of(catalog, table["item_id"], table["neighbor_id"], table["score"])
        return ContentKernel(lists, settings.recent_items, fade=settings.fade)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the sum that proposals are ordered by, and its largest term."""
        return reached(pairs, self._latest(pairs.select("user_id").distinct()), self.frames["similar"])

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the recent item, and the brand or the last level of the category that both have."""
        brand, category = (f"{self.settings.name}:{which}" for which in ("brand", "category"))
        level = F.trim(F.element_at(F.split("shared_category", "/"), -1))
        near = self.frames["similar"].select(
            F.col("item_id").alias("because_item_id"),
            F.col("neighbor_id").alias("item_id"),
            F.col("shared_brand").alias(brand),
            level.alias(category),
        )
        known = F.col("strongest").isNotNull()
        like = sentence("Similar to {}", F.coalesce("because_title", "because_item_id"))
        return lists.join(near, on=["because_item_id", "item_id"], how="left"), [
            Case(known & F.col(f"`{brand}`").isNotNull(), "similar_brand", _and(like, ", also by ", brand)),
            Case(known & F.col(f"`{category}`").isNotNull(), "similar_category", _and(like, ", also in ", category)),
            Case(known, "similar", like),
        ]

    def _latest(self, users: DataFrame) -> DataFrame:
        n = self.settings.recent_items
        mine = self.known_audience().histories.join(users.select("user_id"), on="user_id", how="left_semi")
        return recent(faded(mine, fade=self.settings.fade, n=n), users, n)


class Content(Retriever):
    """Items that the catalog describes alike: for items that few people or nobody touched.

    Each field is a part of the item's vector, of length 1 times the root of its weight, so that the cosine of two items
    is the mean of the cosines of their fields by weight. Fields that an item lacks are left out of its vector.
    """

    kind: Literal["content"] = Field("content", description="The algorithm")
    name: Identifier = Field("content", description="What its proposals, tables and features go under")
    category: NonNegativeFloat = Field(1.0, description="Weight of the category, level by level; 0 leaves it out")
    brand: NonNegativeFloat = Field(0.5, description="Weight of the brand; 0 leaves it out")
    title: NonNegativeFloat = Field(1.0, description="Weight of the words and n-grams of the title; 0 leaves it out")
    price: NonNegativeFloat = Field(0.25, description="Weight of the band that the price lies in; 0 leaves it out")
    tags: Weights = Field(
        default_factory=dict,
        description="Attributes that hold values between `|`, `;` or `,`, with weights; null removes one",
    )
    texts: Weights = Field(
        default_factory=dict, description="Attributes that are read as the title is, with their weights"
    )
    vectors: Weights = Field(
        default_factory=dict,
        description="Attributes that hold an embedding, numbers between commas or blanks, with their weights",
    )
    ngram: int = Field(3, ge=0, le=8, description="Characters of an n-gram of a text; 0: whole words alone")
    text_width: int = Field(
        1 << 18, ge=1 << 8, le=1 << 30, description="Buckets that the words and the n-grams of a text are hashed to"
    )
    keep: PositiveInt = Field(50, description="Similar items kept per item")
    recent_items: PositiveInt = Field(20, description="Recent items of a user whose similar items are proposed")
    fade: Share = Field(0.9, gt=0, description="How much an item counts beside the one that the user touched after it")

    model = ContentModel
    tables = {"similar": SIMILAR_ITEMS}
    features = (
        Feature("score", "Sum of share x cosine over the user's recent items; null for users without a past"),
        Feature("rank", "Rank among what is like the user's recent items; null where it was not proposed"),
        Feature("best", "Largest term of that sum"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items", "fade"}

    @model_validator(mode="after")
    def _compares_something(self) -> Content:
        if not self.parts:
            raise conflict("every field of content has the weight 0, so there is nothing to compare; give one a weight")
        return self

    def drawn(self, draw: Draw) -> Content:
        """Draw the weights of the fields that have one, and how a history fades."""
        named = ("category", "brand", "title", "price")
        weights = {name: draw.number(name, 0.05, 2.0, log=True) for name in named if getattr(self, name)}
        maps = {
            field: {key: draw.number(f"{field}.{key}", 0.05, 2.0, log=True) for key in getattr(self, field)}
            for field in ("tags", "texts", "vectors")
            if getattr(self, field)
        }
        return self.model_copy(update={**weights, **maps, "fade": draw.number("fade", 0.5, 1.0)})

    @property
    def parts(self) -> list[Part]:
        """The parts of an item's vector that have a weight."""
        texts = {"title": self.title} | {f"attributes.{key}": weight for key, weight in sorted(self.texts.items())}
        columns = column_parts(category=self.category, brand=self.brand, price=self.price)
        read = [text_parts(name, weight, ngram=self.ngram, width=self.text_width) for name, weight in texts.items()]
        parts = [*columns, *(part for pair in read for part in pair), *attribute_parts(self.tags, self.vectors)]
        return [part for part in parts if part.weight]

    def learn(self, data: TrainingData) -> ContentModel:
        """Compare every item of the catalog with those that are available. The catalog is read twice.

        Raises
        ------
        NothingToDo
            If there is no catalog, or it says nothing of what has a weight.
        """
        parts = self.parts
        items = None if data.log.items is None else added_before(data.log.items, data.as_of)
        n_items, parts = (0, []) if items is None else self._known(items, parts)
        if items is None or not parts:
            raise NothingToDo(
                f"{self.name}: the catalog says nothing of {', '.join(_sources(self.parts))}, so no items are alike; "
                "map one of them, or give attributes in tags, texts or vectors"
            )
        similar = similar_items(items, parts, keep=self.keep, n_items=n_items)
        return ContentModel(self, {"similar": similar}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)

    def _known(self, items: DataFrame, parts: Sequence[Part]) -> tuple[int, list[Part]]:
        """Size of the catalog, and the parts that it says something of; a note names the others. One row comes back."""
        sources = _sources(parts)
        row = items.agg(F.count("*"), *said(items, sources)).collect()[0]
        known = {source: n for source, n in zip(sources, row[1:], strict=True) if n}
        if known:
            shares = ", ".join(f"{source} of {known.get(source, 0) / row[0]:.0%}" for source in sources)
            note(f"{self.name}: the catalog of {row[0]:,} items gives the {shares}")
        return int(row[0]), [part for part in parts if part.source in known]


def _sources(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(part.source for part in parts))


def _and(start: Column, text: str, column: str) -> Column:
    return F.concat(start, F.lit(text), F.col(f"`{column}`"))
