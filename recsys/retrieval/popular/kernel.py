"""Ready lists for a batch of users, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.retrieval.kernels import Batch, Excluded, Listed, Proposals, take_listed


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
        found = pc.index_in(batch.column("segment"), value_set=self.segments)
        which = pc.fill_null(found, len(self.lists) - 1).to_numpy(zero_copy_only=False)
        return take_listed(self.lists, np.asarray(which, dtype=np.int64), k=k, excluded=excluded)
