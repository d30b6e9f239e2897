"""What `clean`, `index` and `features` make of the synthetic shop, written in SQL for DuckDB.

The peer knows this one shop: its columns and its kinds of defects are in the queries. It has no ledger, no history of
states, no texts of refused rows and no merge with what is stored, and writes plain Parquet files. So it stands for what
a database needs for the same tables, not for the same product.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from recsys.data import COUNTED_EVENTS, FEATURE_WINDOWS
from recsys.ingest.settings import CleanSettings

TYPES = {"page_view": "view", "click": "click", "add_to_cart": "cart", "order": "purchase", "refund": "return"}

_TEXT = "VARCHAR"
_EVENT_KEYS = (
    "event_id",
    "event",
    "ts",
    "uid",
    "sku",
    "price",
    "qty",
    "sid",
    "step",
    "list_id",
    "pos",
    "device",
    "country",
)
_LIST_KEYS = ("list_id", "uid", "sid", "shown_at", "device", "country", "page", "policy")

COMPARED = {
    "events": (
        *("event_id", "user_id", "item_id", "event_type", "event_time", "event_date", "value", "quantity", "price"),
        *("session_id", "session_step", "list_id", "position", "device", "country", "is_bot"),
    ),
    "impressions": (
        *("list_id", "item_id", "user_id", "session_id", "shown_at", "position", "price", "policy", "propensity"),
        *("device", "country", "is_bot"),
    ),
    "items": ("item_id", "title", "category", "brand", "price", "currency", "available", "added_at"),
    "users": ("user_id", "country", "segment", "birth_year", "signed_up_at"),
    "user_index": ("user_id",),
    "item_index": ("item_id",),
    "user_daily": ("user_id", "event_date", "event_type", "n", "n_all", "value_n", "value_sum", "last_time"),
    "item_daily": ("item_id", "event_date", "event_type", "n", "n_all", "value_n", "value_sum", "last_time"),
    "user_features": tuple(f"n_{kind}_{days}d" for days in FEATURE_WINDOWS for kind in COUNTED_EVENTS),
    "item_features": tuple(f"n_{kind}_{days}d" for days in FEATURE_WINDOWS for kind in COUNTED_EVENTS),
}
"""The columns of each table that both sides make; of the features those that are counts, with their entity."""


def make(raw: Path, out: Path, as_of: datetime, threads: int = 2) -> dict[str, int]:
    """Make all tables below `out` and return the refused rows by reason."""
    out.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as peer:
        peer.execute(f"SET TimeZone = 'UTC'; SET threads = {threads}; SET preserve_insertion_order = false")
        for statement in _statements(raw, CleanSettings(), as_of):
            peer.execute(statement)
        for name in COMPARED:
            peer.execute(f"COPY {name} TO '{out / name}.parquet' (COMPRESSION snappy)")
        counted = peer.execute("SELECT reason, count(*) FROM refused GROUP BY ALL ORDER BY ALL").fetchall()
    return dict(counted)


def differences(out: Path, warehouse: Path, as_of: datetime) -> dict[str, int]:
    """Count the rows of each table that only one side has."""
    found = {}
    with duckdb.connect() as peer:
        peer.execute("SET TimeZone = 'UTC'").fetchall()
        for name, columns in COMPARED.items():
            table = f"{warehouse}/{name}"
            files = SubTreeFileSystem(table, LocalFileSystem())
            ours: ds.Dataset = DeltaTable(table).to_pyarrow_dataset(filesystem=files)
            peer.register("ours", ours)
            wanted, where = ", ".join(columns), "true"
            if name.endswith("_features"):
                wanted, where = f"{name.partition('_')[0]}_id, {wanted}", f"as_of = TIMESTAMPTZ '{as_of.isoformat()}'"
            both = f"SELECT {wanted} FROM ours WHERE {where}", f"SELECT {wanted} FROM '{out / name}.parquet'"
            sides = f"(({both[0]}) EXCEPT ALL ({both[1]})) UNION ALL (({both[1]}) EXCEPT ALL ({both[0]}))"
            rows = peer.execute(f"SELECT count(*) FROM ({sides})").fetchall()
            found[name] = rows[0][0]
    return found


def _statements(raw: Path, clean: CleanSettings, as_of: datetime) -> list[str]:
    at = f"TIMESTAMPTZ '{as_of.isoformat()}'"
    return [
        *_events(raw, clean),
        *_lists(raw, clean),
        *_states(raw),
        *_robots(clean),
        *_index(at),
        *(part for entity in ("user", "item") for part in _features(entity, at)),
        """CREATE TABLE refused AS SELECT reason FROM bad_events UNION ALL SELECT reason FROM bad_lists
        UNION ALL SELECT reason FROM bad_items UNION ALL SELECT reason FROM bad_users""",
    ]


def _json(raw: Path, part: str, keys: tuple[str, ...], lists: str = "") -> str:
    columns = ", ".join(f"{key}: '{_TEXT}'" for key in keys)
    return (
        f"read_json('{raw}/{part}', format = 'newline_delimited', ignore_errors = true, columns = {{{columns}{lists}}})"
    )


def _text(name: str) -> str:
    return f"nullif(trim({name}), '')"


_USER = f"coalesce({_text('uid')}, 'anon:' || {_text('sid')})"
"""Visitors without an account are known by their session."""


def _id_reasons(name: str, longest: int) -> str:
    return f"""WHEN {name} IS NULL THEN 'missing:{name}' WHEN contains({name}, '\ufffd') THEN 'bad_encoding:{name}'
        WHEN length({name}) > {longest} THEN 'too_long:{name}'"""


def _events(raw: Path, clean: CleanSettings) -> list[str]:
    types = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in TYPES.items())
    empty = " AND ".join(f"{key} IS NULL" for key in _EVENT_KEYS)
    return [
        f"""CREATE TABLE read_events AS SELECT {_text("event_id")} AS event_id, {_USER} AS user_id,
        {_text("sku")} AS item_id, CASE {_text("event")} {types} END AS event_type,
        try_cast(ts AS TIMESTAMPTZ) AS event_time,
        try_cast(qty AS DOUBLE) AS quantity, {_text("qty")} AS given_quantity,
        try_cast(price AS DOUBLE) AS price, {_text("price")} AS given_price, {_text("sid")} AS session_id,
        try_cast(step AS INTEGER) AS session_step, {_text("list_id")} AS list_id, try_cast(pos AS INTEGER) AS position,
        {_text("device")} AS device, {_text("country")} AS country, {empty} AS broken
        FROM {_json(raw, "events/*/*.gz", _EVENT_KEYS)}""",
        f"""CREATE TABLE judged_events AS SELECT *, CASE WHEN broken THEN 'broken_record'
        {_id_reasons("item_id", clean.max_id_length)} {_id_reasons("user_id", clean.max_id_length)}
        WHEN event_time IS NULL THEN 'bad_time:event_time' WHEN event_time >= now() + INTERVAL 1 DAY THEN 'future_time'
        WHEN event_time < TIMESTAMPTZ '{clean.earliest} 00:00:00+00' THEN 'ancient_time'
        WHEN event_type IS NULL THEN 'unknown_event_type'
        WHEN given_price IS NOT NULL AND (price IS NULL OR NOT isfinite(price)) THEN 'bad_type:price'
        WHEN price < 0 THEN 'negative:price'
        WHEN given_quantity IS NOT NULL AND quantity IS NULL THEN 'bad_type:quantity'
        WHEN quantity <= 0 THEN 'not_positive:quantity' END AS reason FROM read_events""",
        "DROP TABLE read_events",
        # One row of an event_id stays, the earliest; most ids occur once and are not ordered.
        """CREATE TABLE several AS SELECT event_id FROM judged_events WHERE reason IS NULL
        GROUP BY event_id HAVING count(*) > 1""",
        """CREATE TABLE ranked_events AS
        SELECT e.*, row_number() OVER (PARTITION BY event_id ORDER BY event_time) AS nth
        FROM judged_events e WHERE reason IS NULL AND event_id IN (FROM several)""",
        """CREATE TABLE kept_events AS SELECT * EXCLUDE (reason) FROM judged_events
        WHERE reason IS NULL AND event_id NOT IN (FROM several)
        UNION ALL SELECT * EXCLUDE (reason, nth) FROM ranked_events WHERE nth = 1""",
        """CREATE TABLE bad_events AS SELECT reason FROM judged_events WHERE reason IS NOT NULL
        UNION ALL SELECT 'duplicate' FROM ranked_events WHERE nth > 1""",
    ]


def _lists(raw: Path, clean: CleanSettings) -> list[str]:
    empty = " AND ".join(f"{key} IS NULL" for key in _LIST_KEYS)
    lists = ", items: 'VARCHAR[]', prices: 'DOUBLE[]', propensities: 'DOUBLE[]'"
    return [
        f"""CREATE TABLE judged_lists AS SELECT {_text("list_id")} AS list_id, {_USER} AS user_id,
        {_text("sid")} AS session_id, epoch_ms(try_cast(shown_at AS BIGINT)) AS time, items, prices, propensities,
        {_text("policy")} AS policy, {_text("device")} AS device, {_text("country")} AS country,
        CASE WHEN {empty} THEN 'broken_record' WHEN {_text("list_id")} IS NULL THEN 'missing:list_id'
        WHEN {_USER} IS NULL THEN 'missing:user_id'
        WHEN try_cast(shown_at AS BIGINT) IS NULL THEN 'bad_time:shown_at' END AS reason
        FROM {_json(raw, "impressions/*/*.gz", _LIST_KEYS, lists)}""",
        """CREATE TABLE ranked_lists AS SELECT *, row_number() OVER (PARTITION BY list_id ORDER BY time) AS nth
        FROM judged_lists WHERE reason IS NULL""",
        """CREATE TABLE bad_lists AS SELECT reason FROM judged_lists WHERE reason IS NOT NULL
        UNION ALL SELECT 'duplicate' FROM ranked_lists WHERE nth > 1""",
        """CREATE TABLE kept_lists AS
        SELECT list_id, user_id, session_id, time::TIMESTAMP AT TIME ZONE 'UTC' AS shown_at,
        policy, device, country, unnest(items) AS item_id, unnest(prices) AS price, unnest(propensities) AS propensity,
        generate_subscripts(items, 1)::INTEGER AS position FROM ranked_lists WHERE nth = 1""",
    ]


def _states(raw: Path) -> list[str]:
    catalog = f"read_csv('{raw}/catalog.csv/*.csv', header = true, all_varchar = true)"
    return [
        f"""CREATE TABLE read_items AS SELECT {_text("sku")} AS item_id, title, category, brand,
        try_cast(list_price AS DOUBLE) AS price, currency, in_stock = 'Y' AS available,
        try_cast(added_at AS TIMESTAMPTZ) AS added_at, row_number() OVER (PARTITION BY trim(sku)
        ORDER BY try_cast(list_price AS DOUBLE) < 0, updated_at DESC) AS nth FROM {catalog}""",
        """CREATE TABLE items AS SELECT * EXCLUDE (nth) FROM read_items
        WHERE item_id IS NOT NULL AND coalesce(price, 0) >= 0 AND nth = 1""",
        """CREATE TABLE bad_items AS SELECT CASE WHEN item_id IS NULL THEN 'missing:item_id'
        WHEN price < 0 THEN 'negative:price' ELSE 'duplicate' END AS reason FROM read_items
        WHERE item_id IS NULL OR price < 0 OR nth > 1""",
        f"""CREATE TABLE read_users AS SELECT {_text("customer_id")} AS user_id, country, segment,
        try_cast(birth_year AS INTEGER) AS birth_year, to_timestamp(try_cast(registered_at AS BIGINT)) AS signed_up_at
        FROM {_json(raw, "profiles/*.gz", ("customer_id", "country", "segment", "birth_year", "registered_at"))}""",
        "CREATE TABLE users AS FROM read_users WHERE user_id IS NOT NULL",
        "CREATE TABLE bad_users AS SELECT 'missing:user_id' AS reason FROM read_users WHERE user_id IS NULL",
    ]


def _robots(clean: CleanSettings) -> list[str]:
    """A user is a robot from the end of the first clock minute or hour with more events than the limit."""
    names = ", ".join(name for name in COMPARED["events"] if name not in ("is_bot", "value", "event_date"))
    return [
        f"""CREATE TABLE robots AS WITH per_minute AS (
        SELECT user_id, date_trunc('minute', event_time) AS m, count(*) AS n FROM kept_events GROUP BY ALL),
        per_hour AS (SELECT user_id, date_trunc('hour', m) AS h, sum(n) AS n,
        min(m) FILTER (n > {clean.bot_events_per_minute}) AS fast FROM per_minute GROUP BY ALL)
        SELECT user_id, min(least(fast + INTERVAL 1 MINUTE,
        CASE WHEN n > {clean.bot_events_per_hour} THEN h + INTERVAL 1 HOUR END)) AS since FROM per_hour GROUP BY ALL
        HAVING since IS NOT NULL""",
        f"""CREATE TABLE events AS SELECT {names}, event_time::DATE AS event_date, quantity * price AS value,
        coalesce(event_time >= since, false) AS is_bot FROM kept_events LEFT JOIN robots USING (user_id)""",
        """CREATE TABLE impressions AS SELECT l.*, coalesce(shown_at >= since, false) AS is_bot
        FROM kept_lists l LEFT JOIN robots USING (user_id)""",
    ]


def _index(at: str) -> list[str]:
    def ids(entity: str, states: str) -> str:
        return f"""CREATE TABLE {entity}_index AS WITH ids AS (
        SELECT {entity}_id FROM events WHERE event_time < {at}
        UNION SELECT {entity}_id FROM impressions WHERE shown_at < {at} UNION SELECT {entity}_id FROM {states})
        SELECT {entity}_id, row_number() OVER (ORDER BY {entity}_id) AS idx FROM ids
        WHERE NOT starts_with({entity}_id, 'anon:')"""

    return [ids("user", "users"), ids("item", "items")]


def _features(entity: str, at: str) -> list[str]:
    counts = ", ".join(
        f"coalesce(sum(n) FILTER (event_type = '{kind}' AND ago <= {days}), 0)::BIGINT AS n_{kind}_{days}d"
        for days in FEATURE_WINDOWS
        for kind in COUNTED_EVENTS
    )
    names = ", ".join(f"coalesce({name}, 0) AS {name}" for name in COMPARED[f"{entity}_features"])
    longest = max(FEATURE_WINDOWS)
    return [
        f"""CREATE TABLE {entity}_daily AS SELECT {entity}_id, event_date, event_type,
        count(*) FILTER (NOT is_bot) AS n, count(*) AS n_all, count(value) FILTER (NOT is_bot) AS value_n,
        sum(value::DECIMAL(38, 6)) FILTER (NOT is_bot)::DOUBLE AS value_sum,
        sum(quantity::DECIMAL(38, 6)) FILTER (NOT is_bot)::DOUBLE AS quantity_sum,
        sum((price * coalesce(quantity, 1))::DECIMAL(38, 6)) FILTER (NOT is_bot)::DOUBLE AS revenue_sum,
        max(event_time) FILTER (NOT is_bot) AS last_time
        FROM events WHERE event_date < {at}::DATE GROUP BY ALL""",
        f"""CREATE TABLE {entity}_features AS WITH active AS (SELECT {entity}_id, {counts},
        count(DISTINCT event_date) AS active_days, max(last_time) AS last_time,
        sum(revenue_sum::DECIMAL(38, 6)) FILTER (event_type = 'purchase') AS revenue
        FROM (SELECT *, date_diff('day', event_date, {at}::DATE) AS ago FROM {entity}_daily) WHERE n > 0
        AND ago <= {longest} GROUP BY ALL)
        SELECT {entity}_id, active_days, last_time, revenue, s.* EXCLUDE ({entity}_id), {names}
        FROM {entity}s s FULL JOIN active USING ({entity}_id)""",
    ]


def timed(raw: Path, out: Path, as_of: datetime) -> tuple[dict[str, int], float]:
    """Run `make` in this process; return the refused rows and the CPU-seconds of all its threads."""
    before = time.process_time()
    refused = make(raw, out, as_of)
    return refused, time.process_time() - before
