"""The queries behind the facts: four aggregations, whatever the size of the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.checks.facts import CATEGORIES, LOGS, STATES, Facts, NewValues, Past, optional_columns
from recsys.data.instants import instant_of

_DAY_US: Final = 86_400_000_000
_LONGEST_VALUE: Final = 60


def gather(past: Past, *, as_of: datetime) -> Facts:
    """Run the queries.

    Parameters
    ----------
    as_of : datetime
        The newest day is the 24 hours before it, and so on backwards: days need not begin at midnight.
    """
    rows, nulls, latest = _counts(past, as_of)
    kept, refused = _refused(past, as_of)
    return Facts(rows, nulls, latest, _new_values(past, as_of), _known(past, as_of), kept, refused)


def _age(table: str, as_of: datetime) -> Column:
    """Whole days between a row of a log and the instant."""
    micros = (as_of - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    time = F.unix_micros(data.BY_NAME[table].time_column or "")
    return F.floor((F.lit(micros) - time - 1) / F.lit(_DAY_US)).cast("int")


def _newest(past: Past, as_of: datetime) -> dict[str, DataFrame]:
    return {table: frame.where(_age(table, as_of) == 0) for table, frame in past.logs().items()}


Counts = tuple[dict[tuple[str, str, int], int], dict[tuple[str, str, int], int], dict[str, datetime]]


def _counts(past: Past, as_of: datetime) -> Counts:
    """Count rows and nulls of all tables in one aggregation: days x types of events rows reach the driver."""
    width = max(len(optional_columns(table)) for table in (*LOGS, *STATES))
    parts = []
    for table, frame in past.logs().items():
        kind = F.col("event_type") if table == "events" else F.lit("")
        time = F.unix_micros(data.BY_NAME[table].time_column or "")
        parts.append(_flags(frame, table, kind, _age(table, as_of), time, width))
    for table, pair in past.states().items():
        for age, frame in enumerate(pair):
            parts.append(_flags(frame, table, F.lit(""), F.lit(age), F.lit(None).cast("bigint"), width))
    counted = (
        reduce(DataFrame.unionByName, parts)
        .groupBy("table_name", "kind", "age")
        .agg(
            F.count(F.lit(1)).alias("n"),
            F.max("time").alias("latest"),
            *(F.count_if(f"null_{at}").alias(f"null_{at}") for at in range(width)),
        )
    )
    rows: dict[tuple[str, str, int], int] = {}
    nulls: dict[tuple[str, str, int], int] = {}
    latest: dict[str, datetime] = {}
    for row in counted.collect():
        table, age = row["table_name"], row["age"]
        rows[table, row["kind"], age] = row["n"]
        for at, column in enumerate(optional_columns(table)):
            nulls[table, column, age] = nulls.get((table, column, age), 0) + row[f"null_{at}"]
        if row["latest"] is not None:
            last = instant_of(row["latest"])
            latest[table] = max(latest.get(table, last), last)
    return rows, nulls, latest


def _flags(frame: DataFrame, table: str, kind: Column, age: Column, time: Column, width: int) -> DataFrame:
    """Rows of any table in one form: whether each of its optional columns is null."""
    columns = [F.col(name).isNull() for name in optional_columns(table)]
    padded = [*columns, *(F.lit(False) for _ in range(width - len(columns)))]
    return frame.select(
        F.lit(table).alias("table_name"),
        kind.alias("kind"),
        age.alias("age"),
        time.alias("time"),
        *(column.alias(f"null_{at}") for at, column in enumerate(padded)),
    )


def _new_values(past: Past, as_of: datetime) -> dict[tuple[str, str], NewValues]:
    """Find what the newest day has for the first time; one row per column reaches the driver."""
    day_before = as_of - timedelta(days=1)
    newest = {table: _age(table, as_of) == 0 for table in LOGS}
    newest |= {table: F.col("valid_from") >= F.lit(day_before) for table in STATES}
    frames = {**past.logs(), **{table: now for table, (now, _) in past.states().items()}}
    parts = []
    for table, frame in frames.items():
        named = [F.struct(F.lit(c).alias("column"), F.col(c).alias("value")) for c in CATEGORIES[table]]
        flagged = frame.select(newest[table].alias("new"), F.explode(F.array(*named)).alias("cell"))
        parts.append(flagged.select(F.lit(table).alias("table_name"), "new", "cell.column", "cell.value"))
    values = (
        reduce(DataFrame.unionByName, parts)
        .where(F.col("value").isNotNull())
        .groupBy("table_name", "column", "value")
        .agg(F.count_if("new").alias("newest"), F.count_if(~F.col("new")).alias("before"))
    )
    first = F.col("before") == 0
    by_rows = F.when(first, F.struct("newest", "value"))
    counted = values.groupBy("table_name", "column").agg(
        F.count_if(first).alias("values"),
        F.sum(F.when(first, F.col("newest")).otherwise(0)).alias("rows"),
        F.sum("newest").alias("newest"),
        F.sum("before").alias("before"),
        F.max(by_rows)["value"].substr(1, _LONGEST_VALUE).alias("example"),
    )
    return {
        (row["table_name"], row["column"]): NewValues(
            **{name: row[name] for name in ("values", "rows", "newest", "before", "example")}
        )
        for row in counted.collect()
    }


def _known(past: Past, as_of: datetime) -> dict[str, tuple[int, int]]:
    """Count events of the newest day by whether what they name is known; three rows reach the driver."""
    person = F.when(~F.col("user_id").startswith(data.ANONYMOUS_PREFIX), F.col("user_id"))
    named = {"items": F.col("item_id"), "users": person, "lists": F.col("list_id")}
    cells = F.array(*(F.struct(F.lit(kind).alias("kind"), one.alias("id")) for kind, one in named.items()))
    named_ids = (
        _newest(past, as_of)["events"]
        .select(F.explode(cells).alias("cell"))
        .select("cell.kind", "cell.id")
        .where(F.col("id").isNotNull())
        .groupBy("kind", "id")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    sources = {"items": (past.items[0], "item_id"), "users": (past.users[0], "user_id")}
    sources["lists"] = (past.impressions, "list_id")
    there = [frame.select(F.lit(kind).alias("kind"), F.col(id_).alias("id")) for kind, (frame, id_) in sources.items()]
    known = reduce(DataFrame.unionByName, there).distinct().select("kind", "id", F.lit(True).alias("known"))
    counted = named_ids.join(known, on=["kind", "id"], how="left").groupBy("kind")
    found = counted.agg(F.sum("n").alias("n"), F.sum(F.when(F.col("known"), F.col("n")).otherwise(0)).alias("known"))
    return {row["kind"]: (row["known"], row["n"]) for row in found.collect()}


def _refused(past: Past, as_of: datetime) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Count what became of the batches that brought the newest day; a row per table and reason reaches the driver."""
    batches = [frame.select("batch_id") for frame in _newest(past, as_of).values()]
    newest = F.broadcast(reduce(DataFrame.unionByName, batches).distinct())
    whole = {**past.whole, **{table: now for table, (now, _) in past.states().items()}}
    one, nothing = F.lit(1).cast("bigint"), F.lit(None).cast("string")
    parts = [
        frame.select(F.lit(table).alias("table_name"), "batch_id", one.alias("n"), nothing.alias("reason"))
        for table, frame in whole.items()
    ]
    # An empty reason beside the others counts a row that breaks several rules once.
    reasons = F.explode(F.array_union(F.array(F.lit("")), "reasons"))
    parts.append(
        past.quarantine.select(
            F.col("target_table").alias("table_name"), "batch_id", F.col("copies").alias("n"), reasons.alias("reason")
        )
    )
    counted = (
        reduce(DataFrame.unionByName, parts)
        .join(newest, on="batch_id", how="left_semi")
        .groupBy("table_name", "reason")
        .agg(F.sum("n").alias("n"))
    )
    kept: dict[str, int] = {}
    refused: dict[tuple[str, str], int] = {}
    for row in counted.collect():
        if row["reason"] is None:
            kept[row["table_name"]] = row["n"]
        else:
            refused[row["table_name"], row["reason"]] = row["n"]
    return kept, refused
