"""How near an item's factors are to a user's, and to those of what the user touched last: numpy, for any pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import arrow
from recsys.retrieval.kernels import Floats, Ints, ranks_within

RECENT = 10
"""Most recent items of a user that `recent` looks at."""
_CHUNK = 1 << 20
"""Numbers held at once."""

Matrix = NDArray[np.float32] | NDArray[np.float64]


def dense(column: pa.Array | pa.ChunkedArray, width: int) -> Matrix:
    """Turn a column of lists of numbers, each `width` long or null, into a float64 matrix; NaN for null."""
    lengths, values = arrow.flat(column)
    found = np.full((len(lengths), width), np.nan)
    found[lengths > 0] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    return found


def centroids(
    user: Ints, row: Ints, vectors: Matrix, n_users: int, *, most: int = RECENT, decay: float = 1.0
) -> Matrix:
    """Add up the vectors of each user's latest items: where the sum points, their mean does.

    Parameters
    ----------
    user, row : int arrays
        Items of interest by user, latest first: their rows in `vectors`, -1 for those without.
    most : int
        Items of a user that count, of those with a vector.
    decay : float
        How much an item counts for each one that is later.

    Returns
    -------
    float64 array of shape (n_users, width)
        Of the `most` latest with a vector, added in this order; NaN for users without one.
    """
    user, row = user[row >= 0], row[row >= 0]
    place, total = ranks_within(user), np.full((n_users, vectors.shape[1]), np.nan)
    total[user] = 0.0
    for number in range(1, min(most, int(place.max(initial=0))) + 1):
        here = place == number
        total[user[here]] += vectors[row[here]].astype(np.float64) * decay ** (number - 1)
    return total


def affinities(users: Matrix, recent: Matrix, vectors: Matrix, user: Ints, row: Ints) -> Mapping[str, Floats]:
    """Relate items to users.

    Parameters
    ----------
    users, recent : float arrays of shape (users, width)
        Factors and centroids, NaN for users without.
    vectors : float array of shape (items, width)
    user, row : int arrays
        Pairs: a row of `users`, and a row of `vectors` or -1.

    Returns
    -------
    mapping
        `score`, the inner product; `cosine`; `recent`, the cosine with the centroid. Each is NaN where a vector is
        missing, a cosine also where one has no length.
    """
    found = {what: np.full(len(user), np.nan) for what in ("score", "cosine", "recent")}
    known, step = np.flatnonzero(row >= 0), max(1, _CHUNK // max(1, vectors.shape[1]))
    for start in range(0, len(known), step):
        at = known[start : start + step]
        item, mine, past = (part.astype(np.float64) for part in (vectors[row[at]], users[user[at]], recent[user[at]]))
        found["score"][at] = (item * mine).sum(axis=1)
        found["cosine"][at] = _over_lengths(found["score"][at], item, mine)
        found["recent"][at] = _over_lengths((item * past).sum(axis=1), item, past)
    return found


def _over_lengths(product: Floats, one: Matrix, other: Matrix) -> Floats:
    lengths = np.sqrt((one**2).sum(axis=1)) * np.sqrt((other**2).sum(axis=1))
    return np.divide(product, lengths, out=np.full(len(product), np.nan), where=lengths > 0)
