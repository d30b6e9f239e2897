"""The union of all retrievers, per user in one pass.

While everything that is known of items fits the broadcast limit, one `mapInArrow` over users makes each retriever's
list, drops what is seen or not eligible and unites them; the only shuffles are by user. Above the limit each
retriever's rows are made by joins and united by a group-by (`recsys.retrieval.union`). Both give the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.progress import note
from recsys.retrieval.audience import Audience, packed
from recsys.retrieval.base import Model
from recsys.retrieval.blend import Blend
from recsys.retrieval.frames import Eligible
from recsys.retrieval.loading import load_kernels, size_in_bytes, user_columns
from recsys.retrieval.propose import SCHEMA, Proposer, run
from recsys.retrieval.settings import CandidatesSettings
from recsys.retrieval.tiers import TIERS
from recsys.retrieval.union import by_rows
from recsys.spark import share


def candidates(
    audience: Audience,
    models: Sequence[Model[Any]],
    settings: CandidatesSettings,
    *,
    blend: Blend | None = None,
    eligible: Eligible | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Propose items to each user.

    Parameters
    ----------
    audience : Audience
        Who is proposed to.
    models : sequence of Model
        Fitted retrievers with different names; each proposes its own `k` items to the users whom it `serves`.
    settings : CandidatesSettings
        Its `k`, `rrf_k` and `exclude_seen` count here.
    blend : Blend, optional
        The order of the union; by default that of the models' own weights and the `rrf_k` of the settings.
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
    order = blend or Blend.of((model.settings for model in models), rrf_k=settings.rrf_k)
    size = size_in_bytes(among, audience.item_index)
    if size > broadcast_limit_mb * arrow.MEGABYTE:
        note(f"items take {size / arrow.MEGABYTE:.0f} MB, above spark.broadcast_limit_mb: candidates are made by joins")
        return by_rows(audience, among, settings, order)
    rows = packed(audience, user_columns(among))
    proposer = share(rows.sparkSession, load(among, audience.item_index, settings, order))
    return rows.mapInArrow(run(proposer), SCHEMA)


def load(models: Sequence[Model[Any]], item_index: DataFrame, settings: CandidatesSettings, blend: Blend) -> Proposer:
    """Bring what the kernels need of items to the driver. Only below the broadcast limit."""
    catalog, kernels = load_kernels(models, item_index)
    return Proposer(
        catalog=catalog,
        kernels={model.settings.name: model.ready(kernels[model.settings.name]) for model in models},
        limits={model.settings.name: model.settings.k for model in models},
        blend=blend,
        k=settings.k,
        exclude_seen=settings.exclude_seen,
        serves={model.settings.name: model.settings.serves for model in models if {*TIERS} - {*model.settings.serves}},
    )
