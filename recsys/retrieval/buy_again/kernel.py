"""A user's own items for a batch of users, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys import arrow
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, where_in


@dataclass(frozen=True)
class BuyAgainKernel:
    """Lists that come with the users, as columns `<name>:idx` and `<name>:score`."""

    name: str
    catalog: Catalog
    work: int

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose each user's own items."""
        user, item, score = self._own(batch)
        free = np.flatnonzero(~excluded.has(user, item))
        user, item, score = user[free], item[free], score[free]
        chosen, rank = best(user, item, score, k)
        return Proposals(user[chosen], item[chosen], rank, score[chosen])

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the pairs up: 0 where the user never bought the item."""
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
