"""Spark frames of the shop's facts: numpy blocks through ``mapInArrow``, one pass per kind of row.

Each input row stands for one block of users on one day, so the work is spread evenly and a worker holds one
block at a time. Public ids leave here as integers; ``recsys.synthetic.lines`` prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from recsys.synthetic import items as item_facts
from recsys.synthetic.actions import REFUNDED, make_actions
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.hashing import Bools, Ints, mix, uniform
from recsys.synthetic.users import uid_number
from recsys.synthetic.visits import BLOCK, Visits, click_probabilities, clicks, make_visits
from recsys.synthetic.world import World, build_world

EVENT_SCHEMA = (
    "event_id bigint, kind int, ts_ms bigint, uid bigint, sid bigint, step int, sku bigint, price double, "
    "qty int, list_id bigint, pos int, device int, country int, is_bot boolean"
)
IMPRESSION_SCHEMA = (
    "list_id bigint, uid bigint, sid bigint, shown_ms bigint, device int, country int, page int, "
    "explored boolean, skus array<bigint>, prices array<double>, propensities array<double>"
)
TRUTH_SCHEMA = (
    "list_id bigint, sku bigint, position int, p_click_true double, p_relevance double, clicked boolean, "
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


def _some(values: Ints, missing: Bools, kind: pa.DataType) -> pa.Array:
    """Build an Arrow array with nulls where ``missing``."""
    return pa.array(values, mask=missing, type=kind, safe=False)


def _ids(world: World, purpose: str, keys: Ints) -> Ints:
    """Return the 64-bit numbers that public ids show; unique per key."""
    return mix(world.cfg.seed, purpose, keys).view(np.int64)


def _event_rows(world: World, visits: Visits) -> pa.RecordBatch:
    """Return one row per user action."""
    made = make_actions(world, visits)
    who = visits.who
    refund = made.kind == REFUNDED
    off_list = made.list_key < 0
    integer = pa.int32()
    return pa.RecordBatch.from_pydict({
        "event_id": _ids(world, "event-id", made.key),
        "kind": made.kind.astype(np.int32),
        "ts_ms": made.ts_ms,
        "uid": _some(uid_number(world, visits.user[made.user]), who.anonymous[made.user], pa.int64()),
        "sid": _some(_ids(world, "session-id", visits.session_key[made.session]), refund, pa.int64()),
        "step": _some(made.step, refund, integer),
        "sku": item_facts.sku_number(world, made.item),
        "price": made.price,
        "qty": _some(made.quantity, made.quantity == 0, integer),
        "list_id": _some(_ids(world, "list-id", made.list_key), off_list, pa.int64()),
        "pos": _some(made.position, off_list, integer),
        "device": _some(visits.device[made.session], refund, integer),
        "country": _some(who.country[made.user], refund, integer),
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
        "list_id": _ids(world, "list-id", visits.list_key),
        "uid": _some(uid_number(world, visits.user[user]), visits.who.anonymous[user], pa.int64()),
        "sid": _ids(world, "session-id", visits.session_key[visits.list_session]),
        "shown_ms": visits.shown_ms,
        "device": visits.device[visits.list_session].astype(np.int32),
        "country": visits.who.country[user].astype(np.int32),
        "page": visits.page.astype(np.int32),
        "explored": slate.explored,
        "skus": pa.ListArray.from_arrays(ends, item_facts.sku_number(world, item[shown])),
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
        "list_id": _ids(world, "list-id", visits.list_key[row]),
        "sku": item_facts.sku_number(world, item),
        "position": (column + 1).astype(np.int32),
        "p_click_true": np.round(truth[row, column], 8),
        "p_relevance": np.round(1.0 / (1.0 + np.exp(-logit[row, column])), 8),
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
