"""States of items and users, and how one follows another (valid_from, valid_to, is_current)."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql import window as W

from recsys.errors import DataError
from recsys.ingest.given import LATEST
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
    firsts = [F.first(name).alias(name) for name in sightings.columns if name not in (*key, LATEST)]
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


def build_history(new: DataFrame, existing: DataFrame | None, *, entity: str, state: Sequence[str]) -> DataFrame:
    """Unite new states with those already known and chain them; equal states that follow one another become one.

    A re-run on the same input changes nothing, and a state that comes late is put in its place: a row keeps all the
    instants at which its state was told (`seen_at`), so that it can be divided again.

    Parameters
    ----------
    new : DataFrame
        Unique by (`entity`, `valid_from`), with the columns of the state and of provenance.
    existing : DataFrame, optional
        Rows of the table that came from the same dataset; a new state of the same key replaces them.
    state : sequence of str
        The columns that make up a state.
    """
    columns = [name for name in new.columns if name not in ("valid_to", "is_current", "seen_at")]
    united = new.select(*columns, F.lit(1).alias("__new"))
    if existing is not None:
        united = united.unionByName(_told(existing, columns).select(*columns, F.lit(0).alias("__new")))
        newest = W.Window.partitionBy(entity, "valid_from").orderBy(F.desc("__new"))
        united = united.select("*", F.row_number().over(newest).alias("__row")).where("__row = 1")
    states = united.select(*columns)
    in_order = W.Window.partitionBy(entity).orderBy("valid_from")
    hashed = states.select("*", content_hash(states, state).alias("__content"))
    before = F.lag("__content").over(in_order)
    begins = F.when(before.isNull() | (before != F.col("__content")), F.col("valid_from"))
    begun = hashed.select("*", begins.alias("__begins"))
    known = begun.select("*", F.last("__begins", ignorenulls=True).over(in_order).alias("__first"))
    seen = F.array_sort(F.collect_list("valid_from").over(W.Window.partitionBy(entity, "__first")))
    states = known.select(*columns, seen.alias("seen_at"), "__begins").where("__begins IS NOT NULL").drop("__begins")
    until = F.lead("valid_from").over(in_order)
    return states.select("*", until.alias("valid_to"), until.isNull().alias("is_current"))


def _told(existing: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Return one row per instant at which a stored state was told; all of them carry the state of their row."""
    seen = F.coalesce("seen_at", F.array("valid_from")) if "seen_at" in existing.columns else F.array("valid_from")
    told = existing.select("*", F.explode(seen).alias("__at"))
    return told.select(*(F.col("__at").alias(name) if name == "valid_from" else F.col(name) for name in columns))
