"""What a shown item is truly worth to a user: the click probability that the shop itself draws from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from recsys.synthetic import users as people
from recsys.synthetic.choices import click_logit, sigmoid
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.hashing import Floats, Ints
from recsys.synthetic.items import item_index
from recsys.synthetic.world import World, build_world

_USER, _ITEM = r"^u-[0-9a-f]{10}$", r"^SKU-[0-9A-F]{8}$"


def day_of(cfg: ShopConfig, at: date | datetime) -> int:
    """Return the day of the log, from 0, in which an instant lies.

    Raises
    ------
    ValueError
        If it lies outside of the log.
    """
    when = at.astimezone(UTC).date() if isinstance(at, datetime) else at
    day = (when - cfg.start).days
    if not 0 <= day < cfg.days:
        raise ValueError(f"{when} is not a day of the log, which runs from {cfg.start} and ends before {cfg.end}")
    return day


def true_click_probability(pairs: DataFrame, cfg: ShopConfig, *, day: int) -> DataFrame:
    """Add the true probability that a user clicks an item that is shown first on a day.

    It is the truth's `p_relevance`; at a position it is to be multiplied by `recsys.synthetic.choices.POSITION_BIAS`.

    Parameters
    ----------
    pairs : DataFrame
        user_id, item_id as the shop writes them, not necessarily unique; other columns travel along.
    cfg : ShopConfig
        The config of the shop: `Manifest.config`.
    day : int
        Day of the log, from 0: `day_of`.

    Returns
    -------
    DataFrame
        The rows with `p`, in (0, 1); null for an id that is none of the shop's, such as that of an anonymous visitor.
    """
    schema = T.StructType([*pairs.schema.fields, T.StructField("p", T.DoubleType())])
    return pairs.mapInArrow(partial(_with_probability, cfg=cfg, day=day), schema)


def _with_probability(batches: Iterator[pa.RecordBatch], *, cfg: ShopConfig, day: int) -> Iterator[pa.RecordBatch]:
    world = build_world(cfg)
    for batch in batches:
        user = _numbers(batch.column("user_id"), _USER, skip=2)
        item = _numbers(batch.column("item_id"), _ITEM, skip=4)
        users = people.user_index(world, user)
        items = item_index(world, item)
        known = (user >= 0) & (item >= 0) & (users < cfg.n_users) & (items < cfg.n_items)
        p = np.full(batch.num_rows, np.nan)
        p[known] = _probability(world, users[known], items[known], day)
        yield batch.append_column("p", pa.array(p, from_pandas=True))


def _probability(world: World, user: Ints, item: Ints, day: int) -> Floats:
    distinct, row = np.unique(user, return_inverse=True)
    category, local = world.locate(item)
    days = np.full(len(user), day, dtype=np.int64)
    who = people.describe(world, distinct)
    return sigmoid(click_logit(world, who, row, category[:, None], local[:, None], days)[:, 0])


def _numbers(ids: pa.Array, pattern: str, *, skip: int) -> Ints:
    """The hexadecimal number behind the prefix of each id; -1 for ids of another form."""
    encoded = ids.dictionary_encode()
    fits = pc.match_substring_regex(encoded.dictionary, pattern).to_pylist()
    values = [
        int(text[skip:], 16) if fit else -1 for text, fit in zip(encoded.dictionary.to_pylist(), fits, strict=True)
    ]
    found: Ints = np.array([*values, -1], dtype=np.int64)
    places = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    numbers: Ints = found[places]
    return numbers
