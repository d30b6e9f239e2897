"""Factors of users (or items) that a fit left out: one more half-step of ALS, with the other side's factors fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.retrieval.kernels import Floats, Ints, where_in
from recsys.retrieval.vectors.search import ItemMatrix, Vectors
from recsys.spark import share

SCHEMA = "idx int, factors array<float>"
_ID_BYTES = 8
_ROWS = 50_000
"""Pairs that a worker holds at once; in the widest case each carries a vector."""
_BLOCK = 1 << 16
"""Vectors whose products are added up in float64 before they are summed exactly."""
_EXACT = "decimal(38, 14)"

_Run = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Equations:
    """What all equations of a half-step share, with MLlib's conventions.

    Implicit feedback (Hu, Koren, Volinsky 2008): x = (Y'Y + Y'(C - I)Y + reg n I)^-1 Y'C p, with the confidence
    C = 1 + alpha |weight|, p = 1 where the weight is positive and 0 elsewhere, and n the positive weights. Ratings:
    least squares, x = (Y'Y + reg n I)^-1 Y'r over the rated Y alone, with n ratings.

    Attributes
    ----------
    reg, alpha : float
        As the fit used them.
    gram : float array (rank, rank), optional
        Y'Y over all of the other side; None for ratings.
    """

    reg: float
    alpha: float
    gram: Floats | None

    def solved(self, vectors: Vectors, weight: Floats) -> NDArray[np.float32]:
        """Return the factors of one user.

        Parameters
        ----------
        vectors : float32 array (pairs, rank)
            Factors of the items; their order decides the last bits.
        weight : float array (pairs,)
            Weights or ratings.
        """
        precise = vectors.astype(np.float64)
        if self.gram is None:
            n, left, right = len(weight), precise.T @ precise, weight @ precise
        else:
            confidence, liked = self.alpha * np.abs(weight), weight > 0
            n = int(liked.sum())
            left = self.gram + (precise * confidence[:, None]).T @ precise
            right = np.where(liked, 1.0 + confidence, 0.0) @ precise
        if not n * self.reg:
            # Nothing keeps these equations from having many solutions: the shortest one.
            return np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], np.float32)
        left[np.diag_indices_from(left)] += n * self.reg
        return np.asarray(np.linalg.solve(left, right), np.float32)


def folded_in(
    pairs: DataFrame,
    factors: DataFrame,
    *,
    reg: float,
    alpha: float,
    implicit: bool,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Solve each user's equations; items in the place of users, and users in that of items, work as well.

    Nothing depends on who else is solved, nor on partitions.

    Parameters
    ----------
    pairs : DataFrame
        `idx` of a user, `other`: `idx` of an item, `weight`; one row per pair. Items without factors are passed over.
    factors : DataFrame
        `idx, factors` of all items that have any.
    reg, alpha, implicit : float, float, bool
        As the fit used them.
    broadcast_limit_mb : float
        Up to this size the items' factors go to the workers as a whole; above it each pair is joined to its own.

    Returns
    -------
    DataFrame
        `idx, factors` of the users with at least one item that has factors.
    """
    known = factors.select("idx", "factors")
    size = known.agg(F.count("*").alias("n"), F.coalesce(F.max(F.size("factors")), F.lit(1)).alias("width")).collect()
    n_bytes = size[0]["n"] * (4 * size[0]["width"] + _ID_BYTES)
    if arrow.tiles_for(n_bytes, broadcast_limit_mb) > 1:
        equations = Equations(reg, alpha, _exact_gram(known, size[0]["width"]) if implicit else None)
        joined = pairs.join(known.withColumnRenamed("idx", "other"), on="other", how="inner")
        return _by_user(joined.select("idx", "other", "weight", "factors")).mapInArrow(_on_joined(equations), SCHEMA)
    table = arrow.collect_arrow(known).sort_by("idx")
    items = ItemMatrix(table["idx"].to_numpy().astype(np.int64), arrow.matrix(table["factors"]))
    gram = _gram(items.vectors) if implicit else None
    held = share(pairs.sparkSession, (items, Equations(reg, alpha, gram)))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _on_held(batches, *held.value)

    return _by_user(pairs.select("idx", "other", "weight")).mapInArrow(run, SCHEMA)


def _by_user(pairs: DataFrame) -> DataFrame:
    """The order in which each user's equations are added up."""
    return pairs.repartition("idx").sortWithinPartitions("idx", "other")


def _on_held(batches: Iterable[pa.RecordBatch], items: ItemMatrix, equations: Equations) -> Iterator[pa.RecordBatch]:
    """Solve with the factors of all items at hand."""
    for table in arrow.whole_groups(batches, "idx", rows=_ROWS):
        row = where_in(items.positions, table["other"].to_numpy().astype(np.int64))
        known = table.filter(pa.array(row >= 0))
        if known.num_rows:
            yield _solved(known, items.vectors, row[row >= 0], equations)


def _on_joined(equations: Equations) -> _Run:
    """Solve with the factors that each pair carries."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in arrow.whole_groups(batches, "idx", rows=_ROWS):
            vectors = arrow.matrix(table["factors"])
            yield _solved(table, vectors, np.arange(len(vectors)), equations)

    return run


def _solved(pairs: pa.Table, vectors: Vectors, row: Ints, equations: Equations) -> pa.RecordBatch:
    """Solve each of some users, whose pairs stand together."""
    starts = arrow.group_starts(pairs["idx"])
    weight = pairs["weight"].to_numpy().astype(np.float64)
    ends = np.append(starts[1:], pairs.num_rows)
    found = [
        equations.solved(vectors[row[start:end]], weight[start:end]) for start, end in zip(starts, ends, strict=True)
    ]
    offsets = np.arange(len(found) + 1, dtype=np.int32) * vectors.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(found)))
    users = pairs["idx"].take(pa.array(starts)).combine_chunks()
    return pa.RecordBatch.from_arrays([users, lists], names=["idx", "factors"])


def _gram(vectors: Vectors) -> Floats:
    precise = vectors.astype(np.float64)
    return np.asarray(precise.T @ precise)


def _exact_gram(factors: DataFrame, width: int) -> Floats:
    """Y'Y where Y stays on the workers: of blocks in float64, of all blocks in decimals."""

    def products(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in arrow.whole_groups(batches, "block", rows=_BLOCK):
            vectors, starts = arrow.matrix(table["factors"]), arrow.group_starts(table["block"])
            for part in np.split(vectors, starts[1:]):
                yield pa.RecordBatch.from_pydict({"products": [_gram(part).ravel()]})

    blocks = factors.select((F.col("idx") / _BLOCK).cast("int").alias("block"), "idx", "factors")
    ordered = blocks.repartition("block").sortWithinPartitions("block", "idx")
    parts = ordered.mapInArrow(products, "products array<double>").select(F.posexplode("products").alias("at", "part"))
    sums = parts.groupBy("at").agg(F.sum(F.col("part").cast(_EXACT)).cast("double").alias("total"))
    # rank squared numbers
    total = {row["at"]: row["total"] for row in sums.collect()}
    return np.array([total[at] for at in range(width * width)]).reshape(width, width)
