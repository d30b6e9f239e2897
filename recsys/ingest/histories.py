"""States of items and users, and how one follows another (valid_from, valid_to, is_current)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql import window as W

from recsys.errors import DataError
from recsys.ingest.given import LATEST
from recsys.ingest.mappable import FILE
from recsys.ingest.repeats import content_hash


def latest_first(frame: DataFrame) -> list[Column]:
    """Order rows of one key by the mapping's `latest_by`, newest first: numbers by size, other texts alphabetically."""
    if LATEST not in frame.columns:
        return []
    if isinstance(frame.schema[LATEST].dataType, T.StringType):
        return [F.expr(f"try_cast({LATEST} AS DOUBLE)").desc_nulls_last(), F.col(LATEST).desc_nulls_last()]
    return [F.col(LATEST).desc_nulls_last()]


def merge_sightings(sightings: DataFrame, *, key: Sequence[str], state: Sequence[str]) -> DataFrame:
    """Keep one state per key: the newest by `latest_by`, else the one seen most often.

    Returns
    -------
    DataFrame
        The columns of `sightings`, unique by `key`.
    """
    hashed = sightings.select("*", content_hash(sightings, state).alias("__content"))
    firsts = [F.first(name).alias(name) for name in sightings.columns if name not in (*key, LATEST, FILE)]
    firsts += [F.min(FILE).alias(FILE)] if FILE in sightings.columns else []
    latest = [F.max(LATEST).alias(LATEST)] if LATEST in sightings.columns else []
    seen = hashed.groupBy(*key, "__content").agg(F.count(F.lit(1)).alias("__seen"), *firsts, *latest)
    best = W.Window.partitionBy(*key).orderBy(*latest_first(seen), F.desc("__seen"), F.asc("__content"))
    ranked = seen.select("*", F.row_number().over(best).alias("__row"))
    return ranked.where("__row = 1").select(*sightings.columns)


def require_own(new: DataFrame, stored: DataFrame, *, entity: str, dataset: str) -> None:
    """Check that no id of a dataset belongs to another dataset in the table: each keeps a history of its own.

    Parameters
    ----------
    new, stored : DataFrame
        The dataset's rows, and the table's.
    entity : str
        The id column.
    dataset : str
        Name of the dataset.

    Raises
    ------
    DataError
        With the number of shared ids (which is all that reaches the driver).
    """
    others = stored.where(F.col("source") != dataset).select(entity).distinct()
    if others.isEmpty():
        return
    shared = new.select(entity).distinct().join(others, on=entity, how="left_semi").count()
    if shared:
        raise DataError(
            f"{shared} values of {entity} in dataset {dataset} already belong to another dataset of the warehouse, and "
            "datasets must not share ids; keep the mapping's name, or clean into another warehouse"
        )


def build_history(new: DataFrame | None, existing: DataFrame | None, *, entity: str, state: Sequence[str]) -> DataFrame:
    """Unite new states with those already known and chain them; equal states that follow one another become one.

    A re-run on the same input changes nothing, and a state that comes late is put in its place: a row keeps all the
    instants at which its state was told (`seen_at`) and the units that told it, so that it can be divided again.

    Parameters
    ----------
    new : DataFrame, optional
        Unique by (`entity`, `valid_from`), with the columns of the state and of provenance.
    existing : DataFrame, optional
        Rows of the table that came from the same dataset; a new state of the same key replaces them.
    state : sequence of str
        The columns that make up a state.
    """
    parts = [_told(existing).withColumn("__new", F.lit(0))] if existing is not None else []
    parts += [new.withColumn("__new", F.lit(1))] if new is not None else []
    united = reduce(DataFrame.unionByName, parts)
    columns = [name for name in united.columns if name != "__new"]
    if len(parts) > 1:
        newest = W.Window.partitionBy(entity, "valid_from").orderBy(F.desc("__new"))
        united = united.select("*", F.row_number().over(newest).alias("__row")).where("__row = 1")
    states = united.select(*columns)
    in_order = W.Window.partitionBy(entity).orderBy("valid_from")
    hashed = states.select("*", content_hash(states, state).alias("__content"))
    before = F.lag("__content").over(in_order)
    begins = F.when(before.isNull() | (before != F.col("__content")), F.col("valid_from"))
    begun = hashed.select("*", begins.alias("__begins"))
    known = begun.select("*", F.last("__begins", ignorenulls=True).over(in_order).alias("__first"))
    seen = F.array_sort(F.collect_list(F.struct("valid_from", "unit")).over(W.Window.partitionBy(entity, "__first")))
    firsts = known.select("*", seen.alias("__seen")).where("__begins IS NOT NULL")
    told = [F.col(f"__seen.{one}").alias(name) for one, name in (("valid_from", "seen_at"), ("unit", "seen_in"))]
    states = firsts.select(*(name for name in columns if name != "unit"), *told)
    until = F.lead("valid_from").over(in_order)
    return states.select("*", until.alias("valid_to"), until.isNull().alias("is_current"))


def without_units(existing: DataFrame, brought: Callable[[Column], Column]) -> DataFrame:
    """Take back what units told: their instants leave the states, and a state that nobody else told goes.

    Parameters
    ----------
    existing : DataFrame
        Rows of the table.
    brought : callable
        Turns the unit of a telling into whether it is one of them.
    """
    kept = F.filter(_tellings(existing), lambda one: ~brought(one["unit"]))
    left = existing.select(*(c for c in existing.columns if c not in ("seen_at", "seen_in")), kept.alias("__kept"))
    told = [F.col(f"__kept.{one}").alias(name) for one, name in (("at", "seen_at"), ("unit", "seen_in"))]
    return left.where(F.size("__kept") > 0).select("*", *told).drop("__kept")


def _tellings(existing: DataFrame) -> Column:
    """The instants at which a state was told with their units; a state from before there were any, with null."""
    stored = [F.col(name) if name in existing.columns else F.lit(None) for name in ("seen_at", "seen_in")]
    seen = F.coalesce(stored[0].cast("array<timestamp>"), F.array("valid_from"))
    units = F.coalesce(stored[1].cast("array<string>"), F.array().cast("array<string>"))
    return F.transform(seen, lambda at, place: F.struct(at.alias("at"), F.get(units, place).alias("unit")))


def _told(existing: DataFrame) -> DataFrame:
    """Return one row per instant at which a stored state was told; all of them carry the state of their row."""
    derived = ("valid_to", "is_current", "seen_at", "seen_in", "valid_from")
    told = existing.select("*", F.explode(_tellings(existing)).alias("__telling"))
    return told.select(
        *(name for name in existing.columns if name not in derived),
        F.col("__telling.at").alias("valid_from"),
        F.col("__telling.unit").alias("unit"),
    )
