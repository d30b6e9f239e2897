"""Buy again: its settings, and lists of what users bought before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import EventTypes
from recsys.errors import NothingToDo
from recsys.progress import note
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.buy_again.rates import bought, item_rates, repurchases, totals
from recsys.retrieval.buy_again.tables import REPEAT_RATES, REPURCHASES
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.frames import Eligible
from recsys.retrieval.own_lists import OwnListsKernel, listed, looked_up, side_by_side
from recsys.retrieval.reasons import Case
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, PositiveFloat, PositiveInt

_WEEK, _MONTH = 7.0, 30.4


class BuyAgainModel(Model["BuyAgain"]):
    """Each user's own items: the frame `repurchases`; `rates` holds `item_id, buyers, repeats, rate`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {"rates": ItemFrame(("item_id",), "0")}

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return what each user is likeliest to buy again; nothing for who bought nothing."""
        return listed(self.frames["repurchases"], users, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> OwnListsKernel:
        """Know the items; the lists come with the users."""
        return OwnListsKernel(self.settings.name, catalog, self.settings.keep)

    def user_columns(self) -> DataFrame:
        """`user_id, idx, score`: side by side, the user's own items."""
        return side_by_side(self.frames["repurchases"], self.known_audience().item_index)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the score of what the user bought before, 0 for all else."""
        return looked_up(pairs, self.frames["repurchases"])

    def among(self, eligible: Eligible | None) -> Self:
        """Return the model that proposes eligible items alone."""
        model = super().among(eligible)
        if eligible is None:
            return model
        return replace(model, frames={**model.frames, "repurchases": eligible.of(self.frames["repurchases"])})

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the user's own cycle, or say that they bought the item before."""
        days, cycle = (f"{self.settings.name}:{which}" for which in ("days", "cycle"))
        mine = self.frames["repurchases"].select(
            "user_id", "item_id", F.col("days_bought").alias(days), F.col("cycle_days").alias(cycle)
        )
        every = F.concat(F.lit("You buy this about every "), spoken(F.col(f"`{cycle}`")))
        return lists.join(mine, on=["user_id", "item_id"], how="left"), [
            # Two purchases are one interval, which is no habit.
            Case(F.col(f"`{days}`") > 2, "buy_again_cycle", every),
            Case(F.col(f"`{days}`") >= 1, "buy_again", F.lit("You bought this before")),
        ]


class BuyAgain(Retriever):
    """What a user bought before, by the rate at which they are likely to buy it again.

    The rate is the posterior mean of a Gamma-Poisson model: the user's own repeats and the item's rate, shrunk towards
    that of all items. It proposes nothing but what users have bought, so it needs `exclude_seen` to be off.
    """

    kind: Literal["buy_again"] = Field("buy_again", description="The algorithm")
    name: Identifier = Field("buy_again", description="What its proposals, tables and features go under")
    k: PositiveInt = Field(50, description="Items proposed to each user")
    event_types: EventTypes = Field(("purchase",), description="Event types that may repeat", min_length=1)
    window_days: PositiveInt | None = Field(None, description="Ignore purchases older than this; null: the whole log")
    keep: PositiveInt = Field(100, description="Items kept per user")
    shape: PositiveFloat = Field(
        1.0, description="Shape of the Gamma distribution: how many purchases at the item's rate a user starts with"
    )
    prior_buyers: PositiveFloat = Field(
        30.0, description="Buyers at the rate of all items that each item starts with: more for few purchases per item"
    )

    model = BuyAgainModel
    tables = {"rates": REPEAT_RATES, "repurchases": REPURCHASES}
    features = (
        Feature("score", "Expected purchases per day of what the user bought before; 0 for other items"),
        Feature("rank", "Rank among what the user is likely to buy again; null where it was not proposed"),
    )

    @property
    def only_from(self) -> tuple[str, ...]:
        """What may repeat."""
        return tuple(self.event_types)

    def drawn(self, draw: Draw) -> BuyAgain:
        """Draw how much the rate of an item, and that of all items, weigh."""
        found = {
            "shape": draw.number("shape", 0.05, 10.0, log=True),
            "prior_buyers": draw.number("prior_buyers", 1.0, 300.0, log=True),
        }
        return self.model_copy(update=found)

    def learn(self, data: TrainingData) -> BuyAgainModel:
        """Count repeats, and print their share. The purchases are read twice.

        Raises
        ------
        NothingToDo
            If nobody bought anything again.
        """
        pairs = bought(data.log.events, as_of=data.as_of, types=self.event_types, window_days=self.window_days)
        known = totals(pairs)
        if not known.repeats:
            raise NothingToDo(
                f"{self.name}: nobody did the same item's {' or '.join(self.event_types)} on two days before "
                "the as_of, so nothing is bought again; remove the retriever, or set its event_types"
            )
        note(f"{self.name}: {known.share:.1%} of the purchases are repeats")
        rates = item_rates(pairs, known, prior_buyers=self.prior_buyers)
        mine = repurchases(pairs, rates, as_of=data.as_of, shape=self.shape, keep=self.keep)
        return BuyAgainModel(
            self,
            {"rates": rates, "repurchases": mine},
            data.audience,
            {"repeat_share": known.share, "repeats_per_day": known.rate},
            data.broadcast_limit_mb,
        )


def spoken(days: Column) -> Column:
    """Say a number of days as one says a cycle: 6 days, 3 weeks, 2 months."""

    def rounded(unit: float, one: str, many: str) -> Column:
        n = F.greatest(F.round(days / F.lit(unit)), F.lit(1.0)).cast("int")
        return F.when(n == 1, F.lit(one)).otherwise(F.concat(n.cast("string"), F.lit(f" {many}")))

    weeks, months = rounded(_WEEK, "week", "weeks"), rounded(_MONTH, "month", "months")
    return F.when(days < 6.5, rounded(1.0, "day", "days")).when(days < 45, weeks).otherwise(months)
