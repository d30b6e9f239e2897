"""One batch of users in, their candidates out: what each Python worker of the one pass runs.

Kept apart from the code that plans it, so that a worker does not import what only a driver needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import arrow
from recsys.data import CANDIDATES
from recsys.retrieval import fusion
from recsys.retrieval.blend import Blend
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Excluded, Kernel, users_at_once
from recsys.retrieval.tiers import TIERS
from recsys.sharing import Shared

COLUMNS = ["user_id", "item_id", "rank", "score", "sources", "ranks", "scores", "because_item_id"]
SCHEMA = ", ".join(f"{name} {CANDIDATES.column(name).type}" for name in COLUMNS)


@dataclass(frozen=True)
class Proposer:
    """Everything that a worker needs to know beside its users.

    Attributes
    ----------
    catalog : Catalog
        The items by position.
    kernels, limits : mappings by the name of the retriever
        What proposes, and how many items at most.
    blend : Blend
        What a proposal adds to the score of an item.
    k : int
        Most candidates per user.
    exclude_seen : bool
        Whether seen items are left out.
    serves : mapping by the name of the retriever
        Tiers of the users that it proposes to; retrievers that it lacks propose to everybody.
    """

    catalog: Catalog
    kernels: Mapping[str, Kernel]
    limits: Mapping[str, int]
    blend: Blend
    k: int
    exclude_seen: bool
    serves: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def propose(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Make the candidates of a batch; its columns are those of `recsys.retrieval.audience.packed`."""
        n_users, n_items = rows.num_rows, max(1, len(self.catalog))
        batch = self.catalog.batch(rows)
        seen = arrow.flat(rows["seen"])[1].to_numpy(zero_copy_only=False).astype(np.bool_) & self.exclude_seen
        excluded = Excluded(batch.user[seen], batch.item[seen], n_users, n_items)
        found = {
            name: kernel.propose(batch, k=self.limits[name], excluded=excluded) for name, kernel in self.kernels.items()
        }
        for name, tiers in self.serves.items():
            served = pc.is_in(pc.fill_null(rows["tier"], TIERS[0]), value_set=pa.array(tiers, pa.string()))
            found[name] = found[name].of_users(served.to_numpy(zero_copy_only=False))
        united = fusion.fuse(found, self.blend, k=self.k, n_items=n_items)
        return _to_arrow(united, rows["user_id"], self.catalog.ids)


def run(proposer: Shared[Proposer]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Return the function that `mapInArrow` runs."""

    def each(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        here = proposer.value
        users = users_at_once(here.kernels.values())
        for batch in batches:
            for start in range(0, batch.num_rows, users):
                yield here.propose(batch.slice(start, users))

    return each


def _to_arrow(united: fusion.Union, user_ids: pa.Array, item_ids: pa.Array) -> pa.RecordBatch:
    offsets = pa.array(np.r_[0, np.cumsum(united.lengths)], pa.int32())
    names = pa.array(united.names, pa.string()).take(pa.array(united.maker))
    ranks = pa.array(united.maker_rank, pa.int32())
    cause = pa.array(united.because, mask=united.because < 0)
    return pa.RecordBatch.from_arrays(
        [
            user_ids.take(pa.array(united.user)),
            item_ids.take(pa.array(united.item)),
            pa.array(united.rank, pa.int32()),
            pa.array(united.score),
            pa.ListArray.from_arrays(offsets, names),
            pa.MapArray.from_arrays(offsets, names, ranks),
            pa.MapArray.from_arrays(offsets, names, pa.array(united.maker_score)),
            item_ids.take(cause),
        ],
        names=COLUMNS,
    )
