"""The closed form of EASE in numpy, scipy and LAPACK: what one task runs on all interactions.

Harald Steck: Embarrassingly Shallow Autoencoders for Sparse Data (WWW 2019). With the interactions X (users x items),
P = (X'X + reg I)^-1 and B_ij = -P_ij / P_jj, with a diagonal of zeros: the weights that predict each column of X best
from the others, in least squares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from recsys.retrieval.kernels import Floats, Ints, best
from recsys.retrieval.neighborhoods.histories import latest, mixed

SCHEMA = "source int, rank int, target int, weight double"
DECIMALS = 10
"""Weights are rounded: their last digits depend on how LAPACK shares its work among threads."""
_STRENGTHS = 1 << 10
"""Interactions that are weighed are integers of this fraction: sums of their products don't depend on an order."""
_BLOCK = 1 << 22
"""Entries of the matrix that are worked on at once beside it."""


@dataclass(frozen=True)
class Solver:
    """Learns the weights between items.

    Attributes
    ----------
    most_items : int
        Items of the model: those with the most users, ties by a hash.
    most_history : int
        Items of each user that count, the latest, ties by a hash.
    reg : float
        What is added to the diagonal, in users; positive.
    keep : int
        Weights per source item, the largest by their absolute values.
    """

    most_items: int
    most_history: int
    reg: float
    keep: int

    def lists(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Learn from all interactions (`u, idx, at, units`, unique by u and idx, in any order), as `SCHEMA`."""
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        table = pa.Table.from_batches(held)
        items, touched = self.matrix(*(table[name].to_numpy().astype(np.int64) for name in ("u", "idx", "at", "units")))
        inverse = inverted(gram(touched), self.reg)
        for source, rank, target, weight in largest(inverse, self.keep):
            columns = [
                pa.array(items[source], pa.int32()),
                pa.array(rank, pa.int32()),
                pa.array(items[target], pa.int32()),
                pa.array(weight),
            ]
            yield pa.RecordBatch.from_arrays(columns, names=["source", "rank", "target", "weight"])

    def matrix(self, u: Ints, idx: Ints, at: Ints, units: Ints) -> tuple[Ints, Any]:
        """Return the numbers of the model's items, ascending, and users x items: strengths from 0 to 1.

        Parameters
        ----------
        u, idx, at : int arrays
            A hash of the user, the item's number, the time.
        units : int array
            Weight of each interaction, positive; only its share of the user's largest counts.
        """
        items = most_touched(idx, self.most_items)
        place = np.full(int(idx.max(initial=0)) + 1, -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        rows = np.flatnonzero(place[idx] >= 0)
        rows = rows[np.argsort(u[rows], kind="stable")]
        user = np.cumsum(np.r_[0, u[rows][1:] != u[rows][:-1]])[: len(rows)]
        kept = latest(u[rows], user, idx[rows], at[rows], np.bincount(user), self.most_history)
        rows, user = rows[kept], user[kept]
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        share = units[rows] / np.maximum.reduceat(units[rows], first)[user]
        strength = np.maximum(np.rint(share * _STRENGTHS), 1.0) / _STRENGTHS
        return items, sparse.csr_matrix((strength, (user, place[idx[rows]])), shape=(len(first), len(items)))


def most_touched(idx: Ints, most: int) -> Ints:
    """Return the `most` numbers that occur most often, ties by a hash, ascending."""
    counts = np.bincount(idx)
    known = np.flatnonzero(counts)
    order = np.lexsort((mixed(np.zeros_like(known), known), -counts[known]))
    return np.sort(known[order[:most]])


def gram(touched: Any) -> Floats:
    """X'X as a dense matrix; exact for strengths that are fractions of 2^10 and fewer than 2^32 users."""
    n_items, by_item = touched.shape[1], touched.T.tocsr()
    found = np.empty((n_items, n_items))
    for rows in _blocks(n_items):
        (by_item[rows] @ touched).toarray(out=found[rows])
    return found


def inverted(matrix: Floats, reg: float) -> Floats:
    """Invert a Gram matrix with `reg` on its diagonal, in its own memory.

    Raises
    ------
    ValueError
        If it is not positive definite.
    """
    matrix[np.diag_indices(len(matrix))] += reg
    # Fortran's lower triangle is the upper one here; LAPACK leaves the other as it is.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError(f"reg {reg:g} is too small for this data; set a larger one")
    inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert not failed
    upper: NDArray[np.float64] = inverse.T
    for rows in _blocks(len(upper)):
        corner = np.triu(upper[rows, rows])
        upper[rows, rows] = corner + np.triu(corner, 1).T
        upper[rows.stop :, rows] = upper[rows, rows.stop :].T
    return upper


def largest(inverse: Floats, keep: int) -> Iterator[tuple[Ints, Ints, Ints, Floats]]:
    """Yield source, rank, target and weight: each item's `keep` weights of the largest absolute values, not 0."""
    scale = -np.diag(inverse)
    for rows in _blocks(len(inverse)):
        source = np.arange(len(inverse))[rows]
        weights = inverse[rows] / scale
        weights[source - rows.start, source] = 0.0
        weights = np.round(weights, DECIMALS)
        place, target = np.nonzero(weights)
        weight = weights[place, target]
        chosen, rank = best(place, mixed(source[place], target), np.abs(weight), keep)
        yield source[place[chosen]], rank, target[chosen], weight[chosen]


def _blocks(n: int) -> Iterator[slice]:
    """Cut n rows of n entries."""
    step = max(1, _BLOCK // max(1, n))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
