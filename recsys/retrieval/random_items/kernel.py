"""Walks over random permutations for a batch of users, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.retrieval.kernels import Batch, Excluded, Ints, Proposals, nothing, ranks_within
from recsys.retrieval.random_items.drawing import prime_from

_WALK = 200


@dataclass(frozen=True)
class RandomKernel:
    """The items in the order of their keys, as positions; users bring `<name>:start` and `<name>:step`."""

    name: str
    items: Ints

    @property
    def work(self) -> int:
        """Steps of an ordinary walk."""
        return _WALK

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the first `k` items on each user's walk; see `recsys.retrieval.random_items.drawing`."""
        n = len(self.items)
        if not n:
            return nothing()
        prime = prime_from(n)
        start, step = (self._hashes(batch, which) for which in ("start", "step"))
        known = np.flatnonzero(start >= 0)
        steps = np.minimum(k + prime - n + excluded.counts[known], prime)
        user = np.repeat(known, steps)
        i = np.arange(len(user)) - np.repeat(np.cumsum(steps) - steps, steps)
        place = (start[user] % prime + i * (1 + step[user] % (prime - 1))) % prime
        taken = np.flatnonzero(place < n)
        user, i, item = user[taken], i[taken], self.items[place[taken]]
        free = np.flatnonzero(~excluded.has(user, item))
        user, i, item = user[free], i[free], item[free]
        rank = ranks_within(user)
        first = rank <= k
        return Proposals(user[first], item[first], rank[first], 1.0 - i[first] / float(prime))

    def _hashes(self, batch: Batch, which: str) -> Ints:
        """A hash of each user; -1 for who has none."""
        column = batch.column(f"{self.name}:{which}").fill_null(-1)
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)
