"""The order of a union as columns: what `recsys.retrieval.blend` gives in numpy, to the last bit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.base import Retriever
from recsys.retrieval.blend import NEAR, Blend


def share_of(blend: Blend, name: str, *, rank: Column, score: Column, over: W.WindowSpec) -> Column:
    """What the proposals of a retriever add to the scores of their items.

    Parameters
    ----------
    rank, score : Column
        Null where the retriever did not propose the item: then so is the share.
    over : WindowSpec
        The proposals to one user.
    """
    by_rank = F.lit(float(blend.by_rank[name])) / (F.lit(blend.rrf_k) + rank)
    weight = blend.by_score[name]
    return by_rank + F.lit(float(weight)) * _nearness(rank, score, over) if weight else by_rank


def _nearness(rank: Column, score: Column, over: W.WindowSpec) -> Column:
    mine = F.when(rank <= NEAR, score)
    first, last = F.max(mine).over(over), F.min(mine).over(over)
    placed = F.when(first > last, (score - last) / (first - last)).otherwise(0.0)
    clipped = F.greatest(F.lit(-1.0), F.least(placed, F.lit(1.0)))
    return F.when(score.isNotNull(), (F.lit(1.0) + clipped) / F.lit(2.0))


def plain_score(retrievers: Iterable[Retriever], *, rrf_k: float) -> Column:
    """Score in the union by the config's weights, of a row of `ctr_examples`: from the ranks that it has.

    A retriever that offers the ranker no rank adds nothing.
    """
    ranked = [one for one in retrievers if any(feature.what == "rank" for feature in one.features)]
    shares = (F.lit(float(one.weight)) / (F.lit(float(rrf_k)) + F.col(f"{one.name}_rank")) for one in ranked)
    return reduce(add, (F.coalesce(share, F.lit(0.0)) for share in shares), F.lit(0.0))


def reordered(candidates: DataFrame, blend: Blend, *, lists: Sequence[str]) -> DataFrame:
    """Give candidates the score and the rank that a blend gives them.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `recsys.data.CANDIDATES`; a retriever that the blend does not know adds nothing.
    lists : sequence of str
        The columns that say which rows are one list.
    """
    over = W.Window.partitionBy(*lists)
    parts = (
        F.coalesce(share_of(blend, name, rank=F.col("ranks")[name], score=F.col("scores")[name], over=over), F.lit(0.0))
        for name in sorted(blend.by_rank)
    )
    # In the order of the names, as everywhere: sums of floats depend on it.
    scored = candidates.withColumn("score", reduce(add, parts, F.lit(0.0)))
    return scored.withColumn("rank", F.row_number().over(over.orderBy(F.col("score").desc(), "item_id")))
