"""Association rules: their settings, and what they propose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import EventTypes
from recsys.errors import NothingToDo
from recsys.progress import note
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.frames import first_k
from recsys.retrieval.interactions import counts_as_interest
from recsys.retrieval.neighborhoods.following import recent
from recsys.retrieval.reasons import Case, sentence
from recsys.retrieval.rules.following import applied
from recsys.retrieval.rules.kernel import RulesKernel
from recsys.retrieval.rules.mining import Basket, Baskets, measured, rules, touches
from recsys.retrieval.rules.tables import ASSOCIATION_RULES
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, PositiveFloat, PositiveInt, Share


class RulesModel(Model["Rules"]):
    """Rules: the frame `rules`, as the table `association_rules`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "rules": ItemFrame(
            ("antecedent_id", "antecedent_2_id", "consequent_id", "confidence", "lift"),
            "24",
            items=("antecedent_id", "antecedent_2_id", "consequent_id"),
        )
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items that the best rules lead to, by confidence x lift.

        `because_item_id` is the latest item that the rule starts from.
        """
        found = applied(self._latest(users), self.frames["rules"])
        if exclude is not None:
            found = found.join(exclude, on=["user_id", "item_id"], how="left_anti")
        return first_k(found, k).select("user_id", "item_id", "rank", "score", "because_item_id")

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> RulesKernel:
        """Put the rules one after the other, by the position that they start from."""
        table = tables["rules"]
        first, second, target = (catalog.find(table[name]) for name in self.item_frames["rules"].items)
        alone = table["antecedent_2_id"].is_null().to_numpy()
        known = np.flatnonzero((first >= 0) & (target >= 0) & (alone | (second >= 0)))
        order = known[np.lexsort((second[known], target[known], first[known]))]
        offsets = np.r_[0, np.cumsum(np.bincount(first[order], minlength=len(catalog)))].astype(np.int64)
        score = table["confidence"].to_numpy() * table["lift"].to_numpy()
        second = np.where(alone, -1, second)
        return RulesKernel(offsets, second[order], target[order], score[order], self.settings.recent_items)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the score of the best rule that leads to the item: 0 without one, null without a past."""
        latest = self._latest(pairs.select("user_id").distinct())
        found = applied(latest, self.frames["rules"]).select("user_id", "item_id", "score")
        past = latest.select("user_id", F.lit(0.0).alias("nothing")).distinct()
        both = pairs.join(past, on="user_id", how="left").join(found, on=["user_id", "item_id"], how="left")
        return both.select("user_id", "item_id", F.coalesce("score", "nothing").alias("score"))

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the item that the rule starts from, if the user's own events show it."""
        bought = set(self.settings.event_types or ()) == {"purchase"}
        text = "Often bought together with {}" if bought else "Often chosen together with {}"
        title = F.coalesce("because_title", "because_item_id")
        return lists, [Case(F.col("strongest").isNotNull(), "together", sentence(text, title))]

    def _latest(self, users: DataFrame) -> DataFrame:
        return recent(self.known_audience().histories, users, self.settings.recent_items)


class Rules(Retriever):
    """Association rules: A, or A and B, in a basket make C likelier; by FP-growth (Han, Pei & Yin, SIGMOD 2000).

    A rule's support is the share of the baskets with all of its items, its confidence the share of them among those
    with what it starts from, and its lift the confidence over the share of all baskets with C.
    """

    kind: Literal["rules"] = Field("rules", description="The algorithm")
    name: Identifier = Field("rules", description="What its proposals, tables and features go under")
    k: PositiveInt = Field(50, description="Items proposed to each user")
    basket: Basket = Field("day", description="What one basket is: a session, a user's day (UTC), or all of a user")
    event_types: EventTypes | None = Field(
        None, description="Events that put an item into a basket; null: all that have a weight in `signal`"
    )
    window_days: PositiveInt | None = Field(None, description="Ignore events older than this; null: the whole log")
    min_support: PositiveFloat = Field(
        0.001, description="Least support: below 1 a share of the baskets, else their number; two baskets at least"
    )
    min_confidence: Share = Field(0.05, description="Least confidence; the lift has to be above 1 as well")
    max_basket: int = Field(
        20,
        ge=2,
        le=100,
        description="Items counted per basket; a hash decides which. Each may double the cost",
    )
    keep: PositiveInt = Field(50, description="Rules kept per item that they start from")
    recent_items: PositiveInt = Field(20, description="Recent items of a user that rules start from")

    model = RulesModel
    tables = {"rules": ASSOCIATION_RULES}
    features = (
        Feature("score", "Confidence x lift of the best rule to the item; null for users without a past"),
        Feature("rank", "Rank among what rules propose; null where it was not proposed"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items"}

    def learn(self, data: TrainingData) -> RulesModel:
        """Mine the rules, and print what was cut. The events are read twice.

        Raises
        ------
        NothingToDo
            If there is no rule.
        """
        signal = data.signal
        wanted = counts_as_interest(signal.weights, signal.min_value)
        if self.event_types is not None:
            wanted = counts_as_interest(dict.fromkeys(self.event_types, 1.0), signal.min_value)
        touched = touches(
            data.log.events, as_of=data.as_of, counts=wanted, basket=self.basket, window_days=self.window_days
        )
        known = measured(touched, min_support=self.min_support, most=self.max_basket)
        self._tell(known)
        if not known.filled:
            raise NothingToDo(self._too_little(known))
        found = rules(touched, known, min_confidence=self.min_confidence, most=self.max_basket, keep=self.keep)
        if found.isEmpty():
            raise NothingToDo(self._too_little(known))
        figures = {"baskets": float(known.baskets), "cut_share": known.cut / max(1, known.entries)}
        return RulesModel(self, {"rules": found}, data.audience, figures, data.broadcast_limit_mb)

    def _tell(self, known: Baskets) -> None:
        note(f"{self.name}: sets of items in {known.least:,} of {known.baskets:,} baskets count")
        if known.cut:
            share = known.cut / known.entries
            note(f"{self.name}: {known.cut:,} items ({share:.1%}) lie beyond max_basket {self.max_basket} and are cut")

    def _too_little(self, known: Baskets) -> str:
        return (
            f"{self.name}: no rule holds in {known.least:,} of {known.baskets:,} baskets with a confidence of "
            f"{self.min_confidence:g}; lower its min_support or min_confidence, or set its basket or event_types"
        )
