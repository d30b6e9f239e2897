"""Lists of items that are ready for each user: kept with the users, and looked up. In numpy and in joins.

For retrievers whose proposals are made when they are fitted: a frame `user_id, item_id, score` and more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.frames import first_k
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, where_in


@dataclass(frozen=True)
class OwnListsKernel:
    """Lists that come with the users, as columns `<name>:idx` and `<name>:score`; see `side_by_side`."""

    name: str
    catalog: Catalog
    work: int

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose what is listed for each user."""
        user, item, score = self._own(batch)
        free = np.flatnonzero(~excluded.has(user, item))
        user, item, score = user[free], item[free], score[free]
        chosen, rank = best(user, item, score, k)
        return Proposals(user[chosen], item[chosen], rank, score[chosen])

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the pairs up: 0 where the item is not listed for the user."""
        owner, own, score = self._own(batch)
        width = max(1, len(self.catalog))
        keys = owner * width + own
        order = np.argsort(keys)
        at = np.where(item >= 0, where_in(keys[order], user * width + item), -1)
        return {"score": np.where(at >= 0, np.r_[score[order], 0.0][at], 0.0)}

    def _own(self, batch: Batch) -> tuple[Ints, Ints, Floats]:
        """User, item and score of the lists, by user."""
        lengths, idx = arrow.flat(batch.column(f"{self.name}:idx"))
        score = arrow.flat(batch.column(f"{self.name}:score"))[1].to_numpy(zero_copy_only=False).astype(np.float64)
        user = np.repeat(np.arange(batch.n_users), lengths)
        item = self.catalog.positions(idx.to_numpy(zero_copy_only=False))
        known = item >= 0
        return user[known], item[known], score[known]


def listed(own: DataFrame, users: DataFrame, *, k: int, exclude: DataFrame | None) -> DataFrame:
    """Return `user_id, item_id, rank, score`: the `k` best of each user's list that are not excluded."""
    mine = own.select("user_id", "item_id", "score").join(users.select("user_id"), on="user_id", how="left_semi")
    if exclude is not None:
        mine = mine.join(exclude, on=["user_id", "item_id"], how="left_anti")
    return first_k(mine, k).select("user_id", "item_id", "rank", "score")


def side_by_side(own: DataFrame, item_index: DataFrame) -> DataFrame:
    """Return `user_id, idx, score`: the lists as arrays, one row per user."""
    numbered = own.join(item_index.select("item_id", "idx"), on="item_id", how="inner")
    packed = numbered.groupBy("user_id").agg(F.array_sort(F.collect_list(F.struct("idx", "score"))).alias("own"))
    return packed.select("user_id", "own.idx", "own.score")


def looked_up(pairs: DataFrame, own: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score` of distinct pairs: 0 where the item is not listed for the user."""
    found = pairs.join(own.select("user_id", "item_id", "score"), on=["user_id", "item_id"], how="left")
    return found.select("user_id", "item_id", F.coalesce("score", F.lit(0.0)).alias("score"))
