"""Popularity: its settings, and ready lists overall and by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import EventTypes
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.retrieval.popularity.counting import OVERALL, popular_lists
from recsys.retrieval.popularity.kernel import PopularKernel
from recsys.retrieval.popularity.listing import listed, walk
from recsys.retrieval.popularity.scores import ScoreName, Scoring
from recsys.retrieval.reasons import Case, sentence
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveFloat, PositiveInt, conflict

_SAID: Mapping[ScoreName, tuple[str, str, str]] = {
    "users": ("popular", "Popular now", "Popular in {}"),
    "decayed": ("popular", "Popular now", "Popular in {}"),
    "trending": ("trending", "Trending now", "Trending in {}"),
    "rate": ("well_received", "Well received by others", "Well received in {}"),
}
"""Code of the reason by the score, and its sentences for everybody's list and for that of a segment."""
_OF_SCORE: Mapping[ScoreName, tuple[str, ...]] = {
    "decayed": ("half_life_days",),
    "trending": ("recent_days", "prior_users"),
    "rate": ("success_types", "trial_types", "success_value"),
}
"""Settings that count for one score alone."""


class PopularModel(Model["Popular"]):
    """Ready lists: the frame `popular`, `segment, rank, item_id, score`; the segment '' is everybody."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "popular": ItemFrame(("segment", "rank", "item_id", "score"), "32")
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the first `k` items of each user's list: the segment's own, then everybody's, excluded ones left out.

        Users without a segment that has a list get everybody's. Ranks follow the list; a score is the item's in the
        list that it came from.
        """
        return walk(self.frames["popular"], self.known_audience().segments, users, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> PopularKernel:
        """Bring the lists."""
        return PopularKernel.of(catalog, tables["popular"], segment="segment")

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the item's score in the list that the user gets."""
        return listed(pairs, self.frames["popular"], self.known_audience().segments)

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the segment where the item is in its own list; else say that it is popular, if its score shows it."""
        local, common = (f"{self.settings.name}:{which}" for which in ("local", "common"))
        code, everywhere, here = _SAID[self.settings.score]
        popular, least = self.frames["popular"], self.settings.scoring.least
        if least:
            popular = popular.where(F.col("score") > least)
        of_segment = popular.where(F.col("segment") != OVERALL).select(
            F.col("segment").alias("user_segment"), "item_id", F.lit(True).alias(local)
        )
        of_all = popular.where((F.col("segment") == OVERALL) & (F.col("score") > 0))
        joined = lists.join(of_segment, on=["user_segment", "item_id"], how="left").join(
            of_all.select("item_id", F.lit(True).alias(common)), on="item_id", how="left"
        )
        return joined, [
            Case(F.col(f"`{local}`"), f"{code}_segment", sentence(here, F.col("user_segment"))),
            Case(F.col(f"`{common}`"), code, F.lit(everywhere)),
        ]


class Popular(Retriever):
    """What most people touched lately, overall and by segment; each user counts once, with the weightiest event.

    `score` says what a list is ordered by: users, users whose older events count less, users of late over those that
    the window lets expect, or the rate of a success. Where fewer than `keep` items were touched, the catalog's others
    follow in everybody's list, the newest first.
    """

    kind: Literal["popular"] = Field("popular", description="The algorithm")
    name: Identifier = Field("popular", description="What its proposals, tables and features go under")
    k: PositiveInt = Field(50, description="Items proposed to each user")
    weight: NonNegativeFloat = Field(0.1, description="Weight in the union of the retrievers")
    score: ScoreName = Field(
        "users",
        description="What lists are ordered by: users; users `decayed` by age; late over expected; a rate of success",
    )
    keep: PositiveInt = Field(500, description="Items kept per segment")
    window_days: PositiveInt = Field(
        30, description="Days that are counted; doubled while fewer than `keep` items are found"
    )
    min_segment_users: PositiveInt = Field(50, description="Smaller segments have no list of their own")
    half_life_days: PositiveFloat = Field(7.0, description="Days after which an event counts half (`decayed`)")
    recent_days: PositiveFloat = Field(7.0, description="Days that count as of late (`trending`)")
    prior_users: PositiveFloat = Field(
        10.0, description="Weighted users that each item starts with, of late and expected (`trending`)"
    )
    success_types: EventTypes = Field(("purchase",), description="Events that are a success (`rate`)", min_length=1)
    trial_types: EventTypes = Field(
        ("view", "click"), description="Events that are a trial, as every success is (`rate`)"
    )
    success_value: float | None = Field(
        None, description="A rating is a success from this value on; null: at any value (`rate`)"
    )

    model = PopularModel
    tables = {"popular": POPULAR_ITEMS}
    features = (
        Feature("rank", "Popularity rank; null where it was not proposed"),
        Feature("score", "Score in the popular list that the user gets; 0 for an item that is not in it"),
    )
    is_baseline = True

    @model_validator(mode="after")
    def _settings_that_count(self) -> Popular:
        fields = type(self).model_fields
        for score, names in _OF_SCORE.items():
            # What equals the default may come from a file that names every setting.
            idle = [name for name in names if getattr(self, name) != fields[name].default]
            if idle and score != self.score:
                raise conflict(
                    f"score {self.score} takes no {' and no '.join(idle)}; leave it out, or set score: {score}"
                )
        return self

    @property
    def scoring(self) -> Scoring:
        """The score with its settings."""
        return Scoring(
            self.score,
            half_life_days=self.half_life_days,
            recent_days=self.recent_days,
            prior_users=self.prior_users,
            success_types=self.success_types,
            trial_types=self.trial_types,
            success_value=self.success_value,
        )

    def drawn(self, draw: Draw) -> Popular:
        """Draw what is counted, and over how many days."""
        score = draw.one_of("score", ("users", "decayed", "trending"))
        own = self.model_dump(exclude={"kind", "half_life_days", "recent_days"}, exclude_unset=True)
        days = draw.one_of("window_days", (7, 14, 30, 90, 365))
        of_score = {
            "decayed": {"half_life_days": ("half_life_days", 1.0, 90.0)},
            "trending": {"recent_days": ("recent_days", 1.0, float(days))},
        }.get(score, {})
        fade = {name: draw.number(*ends, log=True) for name, ends in of_score.items()}
        return Popular.model_validate({**own, "score": score, "window_days": days, **fade})

    def learn(self, data: TrainingData) -> PopularModel:
        """Count users per item. Nothing is computed before the frame is used."""
        lists = popular_lists(
            data.log.events,
            as_of=data.as_of,
            signal=data.signal,
            profiles=data.log.users,
            items=data.log.items,
            keep=self.keep,
            window_days=self.window_days,
            min_segment_users=self.min_segment_users,
            scoring=self.scoring,
        )
        return PopularModel(self, {"popular": lists}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
