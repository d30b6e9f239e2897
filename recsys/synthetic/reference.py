"""The catalog and the user profiles: one line per item and per registered user, plus planted bad lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.synthetic import items as item_facts
from recsys.synthetic import users as people
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.dirt import CATALOG_DEFECTS, PROFILE_DEFECTS, spoil
from recsys.synthetic.frames import item_ids, user_ids
from recsys.synthetic.hashing import below, mix, splitmix, uniform, unit
from recsys.synthetic.lines import CURRENCY, named
from recsys.synthetic.visits import DAY_MS
from recsys.synthetic.world import CATEGORIES, build_world

ITEM_SCHEMA = (
    "idx bigint, sku string, category int, brand int, color int, material int, style int, "
    "list_price double, in_stock boolean, added_ms bigint, updated_ms bigint"
)
USER_SCHEMA = "idx bigint, uid string, country int, segment int, birth_year int, registered_at bigint"

_SOLD_OUT = 0.03
_NO_BIRTH_YEAR = 0.1
_ISO_SECONDS = "yyyy-MM-dd'T'HH:mm:ss'+00:00'"
_ROWS_PER_PARTITION = 250_000


def catalog_rows(spark: SparkSession, cfg: ShopConfig) -> DataFrame:
    """Return the catalog's columns as they are written, and ``defect``."""
    facts = _numbered(spark, cfg.n_items).mapInArrow(partial(_items, cfg=cfg), ITEM_SCHEMA)
    rows = facts.select(
        "*", _with_extras(range(len(CATALOG_DEFECTS)), CATALOG_DEFECTS, cfg, "catalog-dirt").alias("defect")
    )
    alien = F.concat(F.lit("SKU-BAD"), F.lpad(F.col("idx").cast("string"), 5, "0"))
    price = F.col("list_price").cast("decimal(12,2)")
    older = F.timestamp_millis(F.col("updated_ms") - 366 * DAY_MS)
    updated = spoil(F.timestamp_millis(F.col("updated_ms")), {"duplicate_key": older})
    return rows.select(
        spoil(F.col("sku"), {"missing_id": F.lit(None), "negative_price": alien}).alias("sku"),
        spoil(_title(), {"duplicate_key": F.concat(_title(), F.lit(" (old)"))}).alias("title"),
        named([path for path, _, _ in CATEGORIES], F.col("category")).alias("category"),
        named(item_facts.BRANDS, F.col("brand")).alias("brand"),
        spoil(price, {"negative_price": -price}).alias("list_price"),
        F.lit(CURRENCY).alias("currency"),
        F.when(F.col("in_stock"), "Y").otherwise("N").alias("in_stock"),
        F.date_format(F.timestamp_millis("added_ms"), _ISO_SECONDS).alias("added_at"),
        F.date_format(updated, _ISO_SECONDS).alias("updated_at"),
        "defect",
    )


def profile_lines(spark: SparkSession, cfg: ShopConfig) -> DataFrame:
    """Return one JSON line per registered user with a profile in ``value``, and ``defect``."""
    facts = _numbered(spark, cfg.n_users).mapInArrow(partial(_profiles, cfg=cfg), USER_SCHEMA)
    rows = facts.select("*", _with_extras(_first_profiles(cfg), PROFILE_DEFECTS, cfg, "profile-dirt").alias("defect"))
    line = F.to_json(
        F.struct(
            spoil(F.col("uid"), {"missing_id": F.lit(None)}).alias("customer_id"),
            named(people.COUNTRIES, F.col("country")).alias("country"),
            named(people.SEGMENTS, F.col("segment")).alias("segment"),
            F.col("birth_year"),
            F.col("registered_at"),
        )
    )
    return rows.select(line.alias("value"), "defect")


def _numbered(spark: SparkSession, count: int) -> DataFrame:
    """Return the numbers below ``count`` in partitions of a fixed size."""
    return spark.range(0, count, 1, -(-count // _ROWS_PER_PARTITION))


def _first_profiles(cfg: ShopConfig) -> list[int]:
    """Return the numbers of the first users with a profile, as many as there are defects of one."""
    users = np.arange(cfg.n_bots, min(cfg.n_users, cfg.n_bots + 5000))
    (made,) = _profiles(iter([pa.RecordBatch.from_arrays([pa.array(users)], names=["id"])]), cfg=cfg)
    found: list[int] = made.column("idx").to_pylist()
    return found[: len(PROFILE_DEFECTS)]


def _with_extras(firsts: Iterable[int], rates: Mapping[str, float], cfg: ShopConfig, purpose: str) -> Column:
    """Return null once for each row, and the name of every defect for which the row gets an extra line.

    The rows numbered `firsts` get one of each, so that even a small shop has every kind.
    """
    lines = [F.array(F.lit(None).cast("string"))]
    planted = dict(zip(rates, firsts, strict=False))
    for name, rate in rates.items():
        draw = F.pmod(F.xxhash64(F.lit(cfg.seed), F.lit(f"{purpose}:{name}"), F.col("idx")), F.lit(1_000_000))
        hit = (draw < round(rate * cfg.dirt * 1_000_000)) | (
            F.lit(cfg.dirt > 0) & (F.col("idx") == planted.get(name, -1))
        )
        lines.append(F.when(hit, F.array(F.lit(name))).otherwise(F.array().cast("array<string>")))
    return F.explode(F.concat(*lines))


def _title() -> Column:
    """Return a readable title; some contain a comma, some double quotes."""
    color = named(item_facts.COLORS, F.col("color"))
    material = named(item_facts.MATERIALS, F.col("material"))
    noun = named([noun for _, noun, _ in CATEGORIES], F.col("category"))
    number = F.lpad((F.col("idx") % 10_000).cast("string"), 4, "0")
    plain = F.concat_ws(" ", color, material, noun, number)
    comma = F.concat(noun, F.lit(", "), color, F.lit(" "), material, F.lit(" "), number)
    quoted = F.concat(color, F.lit(' "'), material, F.lit('" '), noun, F.lit(" "), number)
    return F.when(F.col("style") == 0, comma).when(F.col("style") == 1, quoted).otherwise(plain)


def _items(batches: Iterator[pa.RecordBatch], *, cfg: ShopConfig) -> Iterator[pa.RecordBatch]:
    """Make the facts of the items numbered in the batches."""
    world = build_world(cfg)
    for batch in batches:
        item = batch.column(0).to_numpy()
        category, local = world.locate(item)
        facts = item_facts.describe(world, category, local)
        color, material, words = item_facts.words_of(world, item)
        arrival = world.arrival_day(category, local)
        age = 60 + below(mix(cfg.seed, "item-age", item), 900)
        touched = (age * unit(splitmix(words))).astype(np.int64)
        yield pa.RecordBatch.from_pydict({
            "idx": item,
            "sku": item_ids(world, item),
            "category": category.astype(np.int32),
            "brand": facts.brand.astype(np.int32),
            "color": color.astype(np.int32),
            "material": material.astype(np.int32),
            "style": below(words, 12).astype(np.int32),
            "list_price": facts.list_price,
            "in_stock": uniform(cfg.seed, "in-stock", item) >= _SOLD_OUT,
            "added_ms": cfg.start_ms + DAY_MS * np.where(arrival < 0, -age, arrival),
            "updated_ms": cfg.start_ms + DAY_MS * np.where(arrival < 0, -touched, arrival),
        })  # fmt: skip


def _profiles(batches: Iterator[pa.RecordBatch], *, cfg: ShopConfig) -> Iterator[pa.RecordBatch]:
    """Make the profiles of the numbered users who registered and filled one in."""
    world = build_world(cfg)
    for batch in batches:
        user = batch.column(0).to_numpy()
        filled = uniform(cfg.seed, "profile", user) < cfg.profile_share
        user = user[filled & (user >= cfg.n_bots)]
        who = people.describe(world, user)
        user, known = user[~who.anonymous], ~who.anonymous
        unsaid = uniform(cfg.seed, "unsaid", user) < _NO_BIRTH_YEAR
        yield pa.RecordBatch.from_pydict({
            "idx": user,
            "uid": user_ids(world, user),
            "country": who.country[known].astype(np.int32),
            "segment": people.segment_of(who.thrift[known]).astype(np.int32),
            "birth_year": pa.array(who.birth_year[known].astype(np.int32), mask=unsaid),
            "registered_at": cfg.start_ms // 1000 + 86_400 * who.first_day[known],
        })  # fmt: skip
