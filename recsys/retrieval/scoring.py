"""One batch of users in, the figures of their pairs out: what each Python worker of the one pass runs.

Kept apart from the code that plans it, so that a worker does not import what only a driver needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import arrow
from recsys.data import RetrieverFeature
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Ints, PairKernel, users_at_once
from recsys.sharing import Shared

WANTED = "wanted"
"""Column of the packed rows with the items that a user is paired with."""


@dataclass(frozen=True)
class Scorer:
    """Everything that a worker needs to know beside its users.

    Attributes
    ----------
    catalog : Catalog
        The items by position.
    kernels, features : mappings by the name of the retriever
        What scores, and the pair features that are taken of it.
    """

    catalog: Catalog
    kernels: Mapping[str, PairKernel]
    features: Mapping[str, Sequence[RetrieverFeature]]

    @property
    def schema(self) -> str:
        """Columns of the result, as Spark reads them."""
        return ", ".join(["user_id string", "item_id string", *(f"{name} double" for name in self._names)])

    @property
    def _names(self) -> list[str]:
        return [one.column.name for features in self.features.values() for one in features]

    def score(self, rows: pa.RecordBatch, items: pa.Array, item: Ints) -> pa.RecordBatch:
        """Compute the features of a batch.

        Parameters
        ----------
        rows : RecordBatch
            Its columns are those of `recsys.retrieval.audience.packed`, and `WANTED`.
        items : Arrow array of str
            The wanted items of all rows, one after the other, and in `item` their positions.
        """
        user = np.repeat(np.arange(rows.num_rows), arrow.flat(rows[WANTED])[0])
        batch = self.catalog.batch(rows)
        found = {name: kernel.score(batch, user, item) for name, kernel in self.kernels.items()}
        values = [found[name][one.what] for name, features in self.features.items() for one in features]
        columns = [pa.array(value, pa.float64(), from_pandas=True) for value in values]
        users = rows["user_id"].take(pa.array(user))
        return pa.RecordBatch.from_arrays([users, items, *columns], names=["user_id", "item_id", *self._names])


def run(scorer: Shared[Scorer]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Return the function that `mapInArrow` runs."""

    def each(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        here = scorer.value
        users = users_at_once(here.kernels.values())
        for batch in batches:
            lengths, items = arrow.flat(batch[WANTED])
            # Once for the whole of it: a search by id begins with a table of the whole catalog.
            item, ends = here.catalog.find(items), np.r_[0, np.cumsum(lengths)]
            for start in range(0, batch.num_rows, users):
                first, end = int(ends[start]), int(ends[min(start + users, batch.num_rows)])
                yield here.score(batch.slice(start, users), items.slice(first, end - first), item[first:end])

    return each
