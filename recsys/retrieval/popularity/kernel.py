"""Ready lists for a batch of users, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Listed, Proposals, take_listed, where_in
from recsys.retrieval.popularity.counting import OVERALL


@dataclass(frozen=True)
class PopularKernel:
    """Lists of segments.

    Attributes
    ----------
    segments : Arrow array of str
        Names of the segments that have a list.
    lists : list of (positions, scores)
        Each segment's items followed by everybody's; the last list is everybody's alone.
    column : str
        Where a batch has the segment of its users.
    """

    segments: pa.Array
    lists: list[Listed]
    work: int = 0
    column: str = "segment"

    @classmethod
    def of(cls, catalog: Catalog, rows: pa.Table, *, segment: str, column: str = "segment") -> Self:
        """Follow each segment's list by what everybody's has beside it.

        Parameters
        ----------
        rows : Arrow table
            `rank, item_id, score`, and the name of the list under `segment`.
        column : str
            Where a batch has the segment of its users.
        """
        place = catalog.find(rows["item_id"])
        score, rank = rows["score"].to_numpy().astype(np.float64), rows["rank"].to_numpy().astype(np.int64)
        name = rows[segment].to_numpy().astype(str)
        order = np.lexsort((rank, name))
        order = order[place[order] >= 0]
        found: dict[str, Ints] = {str(one): order[name[order] == one] for one in np.unique(name)}
        everybody = found.pop(OVERALL, np.zeros(0, np.int64))
        lists = []
        for own in found.values():
            more = everybody[~np.isin(place[everybody], place[own])]
            both = np.r_[own, more]
            lists.append((place[both], score[both]))
        lists.append((place[everybody], score[everybody]))
        return cls(pa.array(list(found), pa.string()), lists, column=column)

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
        found = pc.index_in(batch.column(self.column), value_set=self.segments)
        which = pc.fill_null(found, len(self.lists) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(which, dtype=np.int64)
