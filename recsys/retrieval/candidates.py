"""The union of all retrievers, per user in one pass.

While everything that is known of items fits the broadcast limit, one `mapInArrow` over users makes each retriever's
list, drops what is seen or not eligible and unites them; the only shuffles are by user. Above the limit each
retriever's rows are made by joins and united by a group-by (`recsys.retrieval.union`). Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.progress import note
from recsys.retrieval.audience import Audience, packed
from recsys.retrieval.base import Model
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.frames import Eligible
from recsys.retrieval.propose import SCHEMA, Proposer, run
from recsys.retrieval.settings import CandidatesSettings
from recsys.retrieval.union import by_rows
from recsys.spark import share

_ID_BYTES = 40


def candidates(
    audience: Audience,
    models: Sequence[Model[Any]],
    settings: CandidatesSettings,
    *,
    eligible: Eligible | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Propose items to each user.

    Parameters
    ----------
    audience : Audience
        Who is proposed to.
    models : sequence of Model
        Fitted retrievers with different names; each proposes its own `k` items.
    settings : CandidatesSettings
        Its `k`, `rrf_k` and `exclude_seen` count here.
    eligible : Eligible, optional
        Which items may be proposed; all by default.
    broadcast_limit_mb : float
        Above it nothing that grows with items is broadcast.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, sources, ranks, scores, because_item_id`; at most `k` rows per user.
    """
    among = [model.among(eligible) for model in models]
    size = size_in_bytes(among, audience.item_index)
    if size > broadcast_limit_mb * arrow.MEGABYTE:
        note(f"items take {size / arrow.MEGABYTE:.0f} MB, above spark.broadcast_limit_mb: candidates are made by joins")
        return by_rows(audience, among, settings)
    columns = {model.settings.name: model.user_columns() for model in among}
    rows = packed(audience, {name: frame for name, frame in columns.items() if frame is not None})
    proposer = share(rows.sparkSession, load(among, audience.item_index, settings))
    return rows.mapInArrow(run(proposer), SCHEMA)


def size_in_bytes(models: Sequence[Model[Any]], item_index: DataFrame) -> float:
    """Estimate what `load` would hold; one pass over the frames."""
    costs = [item_index.select(F.lit(_ID_BYTES).alias("bytes")), *(cost for model in models for cost in model.costs())]
    return float(reduce(DataFrame.unionByName, costs).agg(F.sum("bytes")).collect()[0][0] or 0)


def load(models: Sequence[Model[Any]], item_index: DataFrame, settings: CandidatesSettings) -> Proposer:
    """Bring what the kernels need of items to the driver. Only below the broadcast limit."""
    tables = {model.settings.name: _tables(model) for model in models}
    known = [
        tables[model.settings.name][name][column]
        for model in models
        for name, part in model.item_frames.items()
        for column in part.items
    ]
    catalog = Catalog.of(arrow.collect_arrow(item_index.select("item_id", "idx")), known)
    return Proposer(
        catalog=catalog,
        kernels={model.settings.name: model.kernel(catalog, tables[model.settings.name]) for model in models},
        limits={model.settings.name: model.settings.k for model in models},
        weights={model.settings.name: model.settings.weight for model in models},
        k=settings.k,
        rrf_k=settings.rrf_k,
        exclude_seen=settings.exclude_seen,
    )


def _tables(model: Model[Any]) -> Mapping[str, pa.Table]:
    return {
        name: arrow.collect_arrow(model.frames[name].select(*part.columns)) for name, part in model.item_frames.items()
    }
