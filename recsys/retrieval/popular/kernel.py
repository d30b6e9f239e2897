"""Ready lists for a batch of users, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Listed, Proposals, take_listed, where_in


@dataclass(frozen=True)
class PopularKernel:
    """Lists of segments.

    Attributes
    ----------
    segments : Arrow array of str
        Names of the segments that have a list.
    lists : list of (positions, scores)
        Each segment's items followed by everybody's; the last list is everybody's alone.
    """

    segments: pa.Array
    lists: list[Listed]
    work: int = 0

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the first items of the list of each user's segment."""
        return take_listed(self.lists, self._which(batch), k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the items up in the lists of the users' segments: 0 where the list lacks an item."""
        which, score = self._which(batch)[user], np.zeros(len(user))
        for code in np.unique(which):
            items, scores = self.lists[code]
            order, mine = np.argsort(items), np.flatnonzero(which == code)
            at = where_in(items[order], item[mine])
            score[mine[at >= 0]] = scores[order[at[at >= 0]]]
        return {"score": score}

    def _which(self, batch: Batch) -> Ints:
        """The list of each user."""
        found = pc.index_in(batch.column("segment"), value_set=self.segments)
        which = pc.fill_null(found, len(self.lists) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(which, dtype=np.int64)
