"""Similar items of recent items for a batch of users, in numpy: those of item-item, with a history that fades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.frames import latest_first
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, ranks_within
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel


def powers(fade: float, n: int) -> list[float]:
    """What the first `n` items count: numbers that Spark and numpy take from here, to the same last bit."""
    return [fade**place for place in range(n)]


def faded(histories: DataFrame, *, fade: float, n: int) -> DataFrame:
    """Return the first `n` items of each user with faded weights: in the order of `latest_first`, as kernels have them.

    Parameters
    ----------
    histories : DataFrame
        `user_id, item_id, weight, last_time`; rows without a weight are left out.
    """
    counted = F.get(F.array(*map(F.lit, powers(fade, n))), F.row_number().over(latest_first()) - 1)
    liked = histories.where(F.col("weight") > 0).select("user_id", "item_id", "weight", "last_time")
    rows = liked.withColumn("counted", counted).where(F.col("counted").isNotNull())
    return rows.select("user_id", "item_id", (F.col("weight") * F.col("counted")).alias("weight"), "last_time")


@dataclass(frozen=True)
class ContentKernel(ItemItemKernel):
    """Lists of similar items, and how much less each earlier item counts."""

    fade: float = 1.0

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose what is like the user's recent items."""
        return super().propose(self._faded(batch), k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the pairs up in the sums that proposals come from: 0 where nothing is alike, null without a past."""
        return super().score(self._faded(batch), user, item)

    def _faded(self, batch: Batch) -> Batch:
        weight = np.zeros(len(batch.weight))
        liked = np.flatnonzero(batch.weight > 0)
        place = ranks_within(batch.user[liked]) - 1
        first = liked[place < self.recent_items]
        weight[first] = (
            batch.weight[first] * np.asarray(powers(self.fade, self.recent_items))[place[place < self.recent_items]]
        )
        return replace(batch, weight=weight)
