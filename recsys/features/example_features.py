"""Point-in-time features of user-item pairs: the one code path for training and for scoring.

A pair belongs to a list (what was shown together, or a user's candidates at one instant), and a list to one user,
session and instant. Whatever a list has in common is computed once per list; each pair then looks up its own item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import AttributeFeature, RetrieverFeature, example_columns
from recsys.features.attributes import attribute_columns
from recsys.features.daily import day_of, exact
from recsys.features.entities import days_between
from recsys.features.habits import alike_shares, habit_columns
from recsys.features.history import past_at, past_by_moment, trim
from recsys.features.sessions import count_of, index_of, list_columns, newest_first, session_columns
from recsys.features.shown import ShownLists
from recsys.features.states import with_state
from recsys.features.taste import taste_columns, taste_features
from recsys.features.windows import window_columns, windows_at, windows_by_day


def example_features(
    pairs: DataFrame,
    *,
    events: DataFrame,
    user_daily: DataFrame,
    item_daily: DataFrame,
    items: DataFrame,
    users: DataFrame,
    history_length: int,
    retrieved: Sequence[RetrieverFeature],
    instant: datetime | None = None,
    lists: DataFrame | None = None,
    shown: ShownLists | None = None,
    attributes: Sequence[AttributeFeature] = (),
    keep: Callable[[DataFrame], DataFrame] = lambda frame: frame,
) -> DataFrame:
    """Add the features of `recsys.data.example_columns`, each as it stood before its pair's instant.

    Parameters
    ----------
    pairs : DataFrame
        `example_id, user_id, item_id, list_id, session_id, session_step, example_time, position, price, device,
        country, ranks, candidate_rank, candidate_score`, and the pair features of `retrieved`; unique by list and item.
        Rows of a list have the same user, session, step and time. `click_affinity` is null where they lack it. Other
        columns are carried along.
    events : DataFrame
        The log, from at least `DAYS` days before the earliest instant on.
    user_daily, item_daily : DataFrame
        Daily partials, complete for the days before the latest instant's.
    items, users : DataFrame
        Full histories of the catalog and of the profiles.
    history_length : int
        Items of the history sequence.
    retrieved : sequence of RetrieverFeature
        What each retriever tells the ranker of its candidates.
    instant : datetime, optional
        The instant of every pair, if they share one. The features are the same without it, but cost more.
    lists : DataFrame, optional
        The whole lists (with the columns of `pairs`), if `pairs` is a sample of their rows; `pairs` itself by default.
        Price ranks and positions are relative to these.
    shown : ShownLists, optional
        The shown lists of the window before, for the features of taste; they are null without it.
    attributes : sequence of AttributeFeature
        Attributes beyond the contract that become columns. Those of the context are read from the column `attributes`
        of `pairs`, and are null if it has none.
    keep : callable
        Persists a frame that is read several times, and returns it; by default nothing is persisted, and such frames
        are computed as often as they are read. Of use only for pairs with instants of their own.

    Returns
    -------
    DataFrame
        `pairs` with every feature; `price`, `country`, `position`, `device`, `candidate_rank` and `candidate_score`
        are replaced.
    """
    if instant is None:
        pairs = keep(pairs)
    moments = _moments(priced(pairs if lists is None else lists, items))
    if lists is not None:
        moments = moments.join(pairs.select("list_id").distinct(), on="list_id", how="left_semi")
    if instant is None:
        times = keep(moments)
        moments = past_by_moment(events, items, _with_user(times, user_daily, users, instant), times=times, keep=keep)
    else:
        moments = _with_user(moments, user_daily, users, instant)
        moments = moments.join(past_at(events, items, instant=instant), on="user_id", how="left")
    moments = _with_past(moments, history_length)
    rows = _with_item(priced(pairs, items), pairs, item_daily, instant).join(
        moments.withColumnsRenamed({name: f"_{name}" for name in moments.columns if name != "list_id"}),
        on="list_id",
        how="inner",
    )
    if shown is None:
        rows = rows.withColumns({name: F.lit(None).cast("double") for name in taste_columns()})
    else:
        taste = taste_features(
            priced(pairs, items), shown=shown, events=events, items=items, users=users, keep=keep, instant=instant
        )
        rows = rows.join(taste, on="example_id", how="inner")
    columns = example_columns([one.column for one in retrieved], [one.column for one in attributes])
    wanted = {column.name: column.type for column in columns}
    carried = [name for name in pairs.columns if name not in wanted and name != "attributes"]
    features = {**_context(), **_retrieval(retrieved), **_user_item(), **session_columns(), **habit_columns()}
    features |= attribute_columns(attributes, maps=_maps(pairs))
    if "click_affinity" not in pairs.columns:
        features["click_affinity"] = F.lit(None)
    inputs = [features.get(name, F.col(name)).cast(kind).alias(name) for name, kind in wanted.items()]
    return rows.select(*carried, *inputs)


def priced(pairs: DataFrame, items: DataFrame) -> DataFrame:
    """Add the item's state at the time; the price is the one shown, else the catalog's."""
    state = {"price": "_price", "category": "item_category", "brand": "item_brand", "added_at": "_added_at"}
    state["attributes"] = "_item_attributes"
    rows = with_state(pairs, items, entity="item", columns=state, time="example_time")
    return rows.withColumn("price", F.coalesce("price", "_price")).drop("_price")


def _moments(rows: DataFrame) -> DataFrame:
    """Reduce lists to one row each: the user, the time, and what the list held."""
    price = F.col("price")
    prices = F.sort_array(F.collect_list("price"))
    place = F.when(F.col("position").isNotNull(), F.struct("item_id", "position"))
    return rows.groupBy("list_id").agg(
        *(F.min(name).alias(name) for name in ("user_id", "session_id", "session_step", "example_time")),
        prices.alias("prices"),
        F.when(F.count(price) > 0, F.sum(exact(price)).cast("double") / F.count(price)).alias("price_mean"),
        F.map_from_entries(F.collect_list(place)).alias("places"),
        F.map_from_entries(F.collect_list(F.when(price.isNotNull(), F.struct("item_id", "price")))).alias(
            "list_prices"
        ),
    )


def _with_user(moments: DataFrame, user_daily: DataFrame, users: DataFrame, instant: datetime | None) -> DataFrame:
    """Add the user's windows and the profile at the time."""
    profile = {"segment": "segment", "birth_year": "birth_year", "country": "country"}
    profile["attributes"] = "user_attributes"
    wanted = moments.select("user_id", F.to_date("example_time").alias("day")).distinct()
    rows = with_state(moments, users, entity="user", columns=profile, time="example_time")
    if instant is not None:
        return rows.join(windows_at(user_daily, entity="user", day=day_of(instant)), on="user_id", how="left")
    windows = windows_by_day(user_daily, wanted, entity="user")
    return (
        rows.withColumn("day", F.to_date("example_time")).join(windows, on=["user_id", "day"], how="left").drop("day")
    )


def _with_item(rows: DataFrame, pairs: DataFrame, item_daily: DataFrame, instant: datetime | None) -> DataFrame:
    """Add the item's windows to the rows of pairs."""
    if instant is not None:
        return rows.join(windows_at(item_daily, entity="item", day=day_of(instant)), on="item_id", how="left")
    wanted = pairs.select("item_id", F.to_date("example_time").alias("day")).distinct()
    windows = windows_by_day(item_daily, wanted, entity="item")
    return (
        rows.withColumn("day", F.to_date("example_time")).join(windows, on=["item_id", "day"], how="left").drop("day")
    )


def _with_past(moments: DataFrame, history_length: int) -> DataFrame:
    """Trim what was fetched to each list's past, and turn it into arrays that a pair can search for its item."""
    past = trim(
        F.col("fetched"),
        session_id=F.col("session_id"),
        session_step=F.col("session_step"),
        instant=F.col("example_time"),
    )
    in_session = F.filter("past", lambda event: event["session_id"] == F.col("session_id"))
    kept = [name for name in moments.columns if name != "fetched"]
    rows = moments.select(*kept, past.alias("past"))
    rows = rows.select(*kept, "past", in_session.alias("of_session"))
    rows = rows.withColumn("session", newest_first(F.col("of_session")))
    habits = alike_shares(F.col("past.event_time"), instant=F.col("example_time"))
    session = list_columns(
        F.col("session"), step=F.col("session_step"), instant=F.col("example_time"), places=F.col("places")
    )
    return rows.select(
        *kept,
        F.col("past.item_id").alias("past_items"),
        F.col("past.event_time").alias("past_times"),
        F.col("past.category").alias("past_categories"),
        F.slice(F.array_distinct("past.item_id"), 1, history_length).alias("history"),
        F.array_distinct("of_session.category").alias("session_categories"),
        *(column.alias(name) for name, column in {**session, **habits}.items()),
    )


def _context() -> dict[str, Column]:
    time = F.col("example_time")
    cheaper = index_of(F.col("price"), F.col("_prices"))
    return {
        "hour": F.hour(time),
        "day_of_week": F.weekday(time) + 1,
        "country": F.coalesce("country", "_country"),
        "price_rank_in_list": F.when(cheaper >= 0, cheaper / F.size("_prices")),
        "price_to_list_mean": F.when(F.col("_price_mean") > 0, F.col("price") / F.col("_price_mean")),
        **{name: F.coalesce(f"_{name}", F.lit(0.0)) for name in window_columns("user")},
        "user_segment": F.col("_segment"),
        "user_age": F.year(time) - F.col("_birth_year"),
        **{name: F.coalesce(name, F.lit(0.0)) for name in window_columns("item") if "mean" not in name},
        "item_age_days": F.when(F.col("_added_at") < time, days_between(F.col("_added_at"), time)),
    }


def _user_item() -> dict[str, Column]:
    latest = index_of(F.col("item_id"), F.col("_past_items"))
    micros = F.unix_micros("example_time") - F.unix_micros(F.get("_past_times", latest))
    categories, size = F.col("_past_categories"), F.size("_past_categories")
    return {
        "user_item_events": count_of(F.col("_past_items"), F.col("item_id")),
        "user_item_seconds": F.when(latest >= 0, micros / 1e6),
        "user_category_share": F.when(size > 0, count_of(categories, F.col("item_category")) / size),
        "history": F.col("_history"),
    }


def _maps(pairs: DataFrame) -> dict[str, Column]:
    """Return the maps of attributes that are valid for a row."""
    nothing = F.lit(None).cast("map<string,string>")
    context = F.col("attributes") if "attributes" in pairs.columns else nothing
    return {"user": F.col("_user_attributes"), "item": F.col("_item_attributes"), "context": context}


def _retrieval(retrieved: Sequence[RetrieverFeature]) -> dict[str, Column]:
    """Ranks come from the maps of candidates; what retrievers say of any pair is a column of the pairs already."""
    return {one.column.name: F.col("ranks")[one.name] for one in retrieved if not one.of_pair}
