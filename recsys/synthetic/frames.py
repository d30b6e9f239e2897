"""Spark frames of the shop's facts: numpy blocks through ``mapInArrow``, one pass per kind of row.

Each input row stands for one block of users on one day, so that the work is spread evenly and a worker holds one
block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from recsys.synthetic import items as item_facts
from recsys.synthetic.actions import make_actions
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.hashing import Bools, Ints, mix, uniform
from recsys.synthetic.text import hex_ids, iso_times
from recsys.synthetic.users import uid_number
from recsys.synthetic.visits import BLOCK, DAY_MS, Visits, click_probabilities, clicks, make_visits
from recsys.synthetic.world import World, build_world

EVENT_SCHEMA = (
    "event_id string, kind int, day int, ts_ms bigint, ts string, uid string, sid string, step int, sku string, "
    "price double, qty int, list_id string, pos int, device int, country int, is_bot boolean"
)
IMPRESSION_SCHEMA = (
    "list_id string, day int, uid string, sid string, shown_ms bigint, device int, country int, page int, "
    "explored boolean, skus array<string>, prices array<double>, propensities array<double>"
)
TRUTH_SCHEMA = (
    "list_id string, item_id string, position int, p_click_true double, p_relevance double, clicked boolean, "
    "is_bot boolean, visitor bigint, day int"
)

Maker = Callable[[World, Visits], pa.RecordBatch]


def frame_of(spark: SparkSession, cfg: ShopConfig, kind: str, *, rate: float, partitions: int) -> DataFrame:
    """Return the facts of one kind: ``events``, ``impressions`` or ``truth``.

    The rows do not depend on ``partitions``.
    """
    maker, schema = _KINDS[kind]
    per_day = -(-cfg.n_users // BLOCK)
    blocks = spark.range(0, cfg.days * per_day, 1, partitions)
    return blocks.mapInArrow(partial(_run, cfg=cfg, rate=rate, maker=maker), schema)


def _run(batches: Iterator[pa.RecordBatch], *, cfg: ShopConfig, rate: float, maker: Maker) -> Iterator[pa.RecordBatch]:
    """Make the rows of each block named in the batches."""
    world = build_world(cfg)
    per_day = -(-cfg.n_users // BLOCK)
    for batch in batches:
        for block in batch.column(0).to_pylist():
            day, part = divmod(block, per_day)
            users = np.arange(part * BLOCK, min((part + 1) * BLOCK, cfg.n_users), dtype=np.int64)
            yield maker(world, make_visits(world, day, users, rate=rate))


def _some(values: Ints, missing: Bools) -> pa.Array:
    """Return 32-bit integers with nulls where ``missing``."""
    return pa.array(values, mask=missing, type=pa.int32(), safe=False)


def _ids(world: World, kind: str, keys: Ints, missing: Bools | None = None) -> pa.StringArray:
    """Return the public ids of events (``ev``), sessions (``s``) or lists (``ls``); unique per key."""
    return hex_ids(f"{kind}-", mix(world.cfg.seed, f"{kind}-id", keys).view(np.int64), 16, missing=missing)


def item_ids(world: World, item: Ints) -> pa.StringArray:
    """Return the public ids of items."""
    return hex_ids("SKU-", item_facts.sku_number(world, item), 8, upper=True)


def user_ids(world: World, user: Ints, missing: Bools | None = None) -> pa.StringArray:
    """Return the public ids of users."""
    return hex_ids("u-", uid_number(world, user), 10, missing=missing)


def _event_rows(world: World, visits: Visits) -> pa.RecordBatch:
    """Return one row per user action."""
    made = make_actions(world, visits)
    who = visits.who
    outside = made.step == 0
    off_list = made.list_key < 0
    return pa.RecordBatch.from_pydict({
        "event_id": _ids(world, "ev", made.key),
        "kind": made.kind.astype(np.int32),
        "day": ((made.ts_ms - world.cfg.start_ms) // DAY_MS).astype(np.int32),
        "ts_ms": made.ts_ms,
        "ts": iso_times(made.ts_ms),
        "uid": user_ids(world, visits.user[made.user], who.anonymous[made.user]),
        "sid": _ids(world, "s", visits.session_key[made.session], outside),
        "step": _some(made.step, outside),
        "sku": item_ids(world, made.item),
        "price": made.price,
        "qty": _some(made.quantity, made.quantity == 0),
        "list_id": _ids(world, "ls", made.list_key, off_list),
        "pos": _some(made.position, off_list),
        "device": _some(visits.device[made.session], outside),
        "country": _some(who.country[made.user], outside),
        "is_bot": who.is_bot[made.user],
    })  # fmt: skip


def _impression_rows(world: World, visits: Visits) -> pa.RecordBatch:
    """Return one row per shown list."""
    slate, shown, user = visits.slate, visits.shown, visits.list_user
    item = world.starts[slate.category] + slate.local
    listed = item_facts.describe(world, slate.category, slate.local).list_price
    price = item_facts.price_on(world, item, listed, visits.day)
    ends = np.concatenate([[0], np.cumsum(visits.length)]).astype(np.int32)
    return pa.RecordBatch.from_pydict({
        "list_id": _ids(world, "ls", visits.list_key),
        "day": np.full(len(user), visits.day, dtype=np.int32),
        "uid": user_ids(world, visits.user[user], visits.who.anonymous[user]),
        "sid": _ids(world, "s", visits.session_key[visits.list_session]),
        "shown_ms": visits.shown_ms,
        "device": visits.device[visits.list_session].astype(np.int32),
        "country": visits.who.country[user].astype(np.int32),
        "page": visits.page.astype(np.int32),
        "explored": slate.explored,
        "skus": pa.ListArray.from_arrays(ends, item_ids(world, item[shown])),
        "prices": pa.ListArray.from_arrays(ends, price[shown]),
        "propensities": pa.ListArray.from_arrays(ends, np.round(slate.propensity[shown], 10)),
    })  # fmt: skip


def _truth_rows(world: World, visits: Visits) -> pa.RecordBatch:
    """Return one row per shown position of the lists in the truth sample."""
    logit, truth = click_probabilities(world, visits)
    hit = clicks(world, visits, truth)
    kept = uniform(world.cfg.seed, "truth", visits.list_key) < world.cfg.truth_sample
    row, column = np.nonzero(visits.shown & kept[:, None])
    user = visits.list_user[row]
    item = world.starts[visits.slate.category[row, column]] + visits.slate.local[row, column]
    return pa.RecordBatch.from_pydict({
        "list_id": _ids(world, "ls", visits.list_key[row]),
        "item_id": item_ids(world, item),
        "position": (column + 1).astype(np.int32),
        "p_click_true": np.round(truth[row, column], 6),
        "p_relevance": np.round(1.0 / (1.0 + np.exp(-logit[row, column])), 6),
        "clicked": hit[row, column],
        "is_bot": visits.who.is_bot[user],
        "visitor": visits.user[user],
        "day": np.full(len(row), visits.day, dtype=np.int32),
    })  # fmt: skip


_KINDS: dict[str, tuple[Maker, str]] = {
    "events": (_event_rows, EVENT_SCHEMA),
    "impressions": (_impression_rows, IMPRESSION_SCHEMA),
    "truth": (_truth_rows, TRUTH_SCHEMA),
}
