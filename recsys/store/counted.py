"""Counts what a run read of the log before VACUUM takes the version that it read.

Whether late events came in before a past instant is told by comparing the number of events before it, then and now
(`recsys.store.done`). Once the old version is gone only the run's row can tell.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import functions as F

from recsys import data
from recsys.data.instants import instant_of
from recsys.progress import step
from recsys.store.retrying import retrying
from recsys.store.tables import Tables


def newest_done(tables: Tables) -> datetime | None:
    """Return the newest instant for which a job is done; None if there is none."""
    if not tables.exists(data.RUNS):
        return None
    done = tables.read(data.RUNS, where={"status": "done"}).where(F.col("reads")[data.EVENTS.name].isNotNull())
    found = done.agg(F.max(F.unix_micros("as_of"))).first()
    return instant_of(found[0]) if found is not None and found[0] is not None else None


def count_reads(tables: Tables, *, since: datetime) -> int:
    """Write into the runs for instants at or after one how many events before their instant they read.

    The caller holds its slices, so `runs` has every column.

    Returns
    -------
    int
        Pairs of an instant and a version that were counted; versions that are gone already are left out.
    """
    state = tables.newest(data.EVENTS)
    if state is None:
        return 0
    version = F.col("reads")[data.EVENTS.name]
    runs = tables.read(data.RUNS, where={"status": "done"}).where(F.col("as_of") >= F.lit(since))
    open_ones = runs.where("counted IS NULL").where(version < state.version)
    pairs = open_ones.select(F.unix_micros("as_of"), version).distinct().collect()
    with step("count what past runs read of events") as this:
        counts = [
            (at, read, rows)
            for at, read in pairs
            if (rows := tables.rows_before(data.EVENTS, instant_of(at), version=read)) is not None
        ]
        this.rows = len(counts)
    if not counts:
        return 0
    found = tables.spark.createDataFrame(counts, "at bigint, version bigint, n bigint")
    same = f"t.status = 'done' AND unix_micros(t.as_of) = s.at AND t.reads['{data.EVENTS.name}'] = s.version"
    merge = tables.delta(data.RUNS).alias("t").merge(found.alias("s"), same)
    filled = merge.whenMatchedUpdate("t.counted IS NULL", {"counted": f"map('{data.EVENTS.name}', s.n)"})
    retrying(filled.execute)
    return len(counts)
