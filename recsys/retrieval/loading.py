"""What one pass over users sends to the workers: the kernels of models, and the items by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.base import Model
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Kernel

_ID_BYTES = 40


def size_in_bytes(models: Sequence[Model[Any]], item_index: DataFrame) -> float:
    """Estimate what `load_kernels` would hold; one pass over the frames."""
    costs = [item_index.select(F.lit(_ID_BYTES).alias("bytes")), *(cost for model in models for cost in model.costs())]
    return float(reduce(DataFrame.unionByName, costs).agg(F.sum("bytes")).collect()[0][0] or 0)


def load_kernels(models: Sequence[Model[Any]], item_index: DataFrame) -> tuple[Catalog, dict[str, Kernel]]:
    """Bring what kernels need of items to the driver, by the names of their retrievers. Only below the limit."""
    tables = {model.settings.name: _tables(model) for model in models}
    known = [
        tables[model.settings.name][name][column]
        for model in models
        for name, part in model.item_frames.items()
        for column in part.items
    ]
    catalog = Catalog.of(arrow.collect_arrow(item_index.select("item_id", "idx")), known)
    return catalog, {model.settings.name: model.kernel(catalog, tables[model.settings.name]) for model in models}


def user_columns(models: Sequence[Model[Any]]) -> dict[str, DataFrame]:
    """What models know of users, by the names of their retrievers; see `recsys.retrieval.audience.packed`."""
    found = {model.settings.name: model.user_columns() for model in models}
    return {name: frame for name, frame in found.items() if frame is not None}


def _tables(model: Model[Any]) -> Mapping[str, pa.Table]:
    return {
        name: arrow.collect_arrow(model.frames[name].select(*part.columns)) for name, part in model.item_frames.items()
    }
