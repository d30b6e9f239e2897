"""What a user's neighbors touched, added up in numpy: runs in Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import arrow
from recsys.retrieval.kernels import Floats, Ints, best, where_in
from recsys.retrieval.neighborhoods.histories import mixed

SCHEMA = "user_id string, idx int, score double, users int, touched boolean"
OWN = 0
"""Rank of the row that holds what the user touched, before the neighbors from 1."""
_ROWS = 5_000
"""Rows that are worked on at once, each with the history of a neighbor."""


@dataclass(frozen=True)
class Choices:
    """Adds up similarity x share.

    Attributes
    ----------
    keep : int
        Items kept per user of those that the user has not touched, and as many of those that the user has.
    """

    keep: int

    def lists(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make the lists of a partition that holds whole users, sorted by `user_id` and `rank`.

        Its columns are `user_id, u, rank, score, idx, share`: the user and a hash of them, a neighbor's similarity and
        history, and under rank `OWN` the user's own history. The result is `SCHEMA`, in no order that matters.
        """
        for table in arrow.whole_groups(batches, "user_id", rows=_ROWS):
            yield self.of(table)

    def of(self, table: pa.Table) -> pa.RecordBatch:
        """Make the lists of some whole users; sums run by the ranks of the neighbors."""
        starts = arrow.group_starts(table["user_id"])
        rank = table["rank"].to_numpy()
        lengths, idx = arrow.flat(table["idx"])
        share = arrow.flat(table["share"])[1].to_numpy(zero_copy_only=False)
        similarity, item = table["score"].to_numpy(), idx.to_numpy(zero_copy_only=False).astype(np.int64)
        width = 1 + int(item.max(initial=0))
        row = np.repeat(np.arange(len(rank)), lengths)
        key = arrow.group_of_rows(starts, len(rank))[row] * width + item
        own = rank[row] == OWN
        mine, key = np.sort(key[own]), key[~own]
        part = similarity[row[~own]] * share[~own]
        found, place, users = np.unique(key, return_inverse=True, return_counts=True)
        total = np.bincount(place, weights=part, minlength=len(found)).astype(np.float64)
        touched = where_in(mine, found) >= 0
        user, item = np.divmod(found, width)
        # Of equals those that a hash of the pair picks: an order by id would give every list the same ones.
        tie = mixed(table["u"].to_numpy()[starts[user]], item)
        chosen = self._best(2 * user + touched, tie, total)
        return pa.RecordBatch.from_arrays(
            [
                table["user_id"].combine_chunks().take(pa.array(starts[user[chosen]])),
                pa.array(item[chosen], pa.int32()),
                pa.array(total[chosen]),
                pa.array(users[chosen], pa.int32()),
                pa.array(touched[chosen]),
            ],
            names=["user_id", "idx", "score", "users", "touched"],
        )

    def _best(self, group: Ints, tie: Ints, total: Floats) -> Ints:
        """Places of the `keep` best of each group."""
        order = np.argsort(group, kind="stable")
        chosen, _ = best(group[order], tie[order], total[order], self.keep)
        return order[chosen]
