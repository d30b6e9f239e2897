"""A log of actions as retrievers and evaluation read it: from tables in the pipeline, from any frame in a notebook."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from recsys.data.callers import AnyFrame, Ids, column_of, spark_frame, utc
from recsys.data.catalogs import added_before, described
from recsys.data.index import known_ids, new_rows
from recsys.data.instants import instant_of
from recsys.data.sql import quote
from recsys.data.vocabulary import EVENT_TYPES
from recsys.errors import DataError

_SHOWN = 3


@dataclass(frozen=True)
class Log:
    """Actions before an instant, and what is known of users and items then.

    Attributes
    ----------
    events : DataFrame
        `event_id, user_id, item_id, event_type, event_time, value, session_id, is_bot` (texts, UTC instants); further
        columns do not matter. Rows at or after `as_of` are passed over by whoever learns.
    as_of : datetime
        Exclusive bound (UTC).
    users, items : DataFrame, optional
        Profiles (`user_id, segment`) and catalog (`item_id, available, added_at`) valid at `as_of`. Where profiles say
        more, people can be told apart by it; where the catalog does (`title, category, brand, price, currency`, a map
        `attributes`), items can be compared by it.
    user_index, item_index : DataFrame, optional
        Public id and `idx`; see :meth:`indexed`.
    ids : Ids
        The caller's id columns and types.
    past : Log, optional
        The log before this one, where it was split off.
    """

    events: DataFrame
    as_of: datetime
    users: DataFrame | None = None
    items: DataFrame | None = None
    user_index: DataFrame | None = None
    item_index: DataFrame | None = None
    ids: Ids = field(default_factory=Ids)
    past: Log | None = None

    @classmethod
    def from_frame(
        cls,
        frame: AnyFrame,
        *,
        user: str = "user_id",
        item: str = "item_id",
        time: str = "event_time",
        event_type: str | None = None,
        value: str | None = None,
        session: str | None = None,
        users: AnyFrame | None = None,
        items: AnyFrame | None = None,
    ) -> Log:
        """Make a log of any frame; the frame is read once to check it.

        Parameters
        ----------
        frame : DataFrame or pandas.DataFrame
            One row per action.
        user, item, time : str
            Its columns. Times are instants, or wall clocks, dates and ISO 8601 texts, which are read as UTC.
        event_type : str, optional
            Column with the type of each action, one of `recsys.data.EVENT_TYPES`. Without it every action is a
            `rating` where there is a `value`, else a `view`.
        value, session : str, optional
            Columns with a number (a rating, plays, an amount) and with a session.
        users, items : DataFrame or pandas.DataFrame, optional
            Profiles, with `segment`, the column `user`, and whatever else tells people apart; the catalog, with
            `available` and the column `item`, and whatever else it says of items: see
            `recsys.data.catalogs.described`.

        Returns
        -------
        Log
            Its `as_of` lies just after the last action.

        Raises
        ------
        DataError
            If a column is missing or of an unfit type, the frame is empty, an id or a time is missing or can't be
            read, or a type of action is unknown.

        Examples
        --------
        >>> log = Log.from_frame(frame, user="customer", item="sku", time="ts")  # doctest: +SKIP
        """
        raw = spark_frame(frame)
        ids = Ids.found_in(raw, user=user, item=item)
        rows = _rows(raw, ids, time, event_type, value, session)
        found = _checked(rows, raw, names={"user_id": user, "item_id": item, "event_time": time}, typed=event_type)
        last = instant_of(found["last"] + 1)
        return cls(
            rows,
            last,
            users=_profiles(users, ids, rows),
            items=_catalog(items, ids, rows),
            ids=ids,
        )

    def split(
        self, at: str | date | datetime, horizon_days: float | None = None, *, new_items_only: bool = False
    ) -> tuple[Log, Log]:
        """Cut the log at an instant: what comes before, and what follows within a horizon.

        Parameters
        ----------
        at : str, date or datetime
            UTC where it has no offset; actions at this very instant are the future.
        horizon_days : float, optional
            Days after it; all that follow by default.
        new_items_only : bool
            Leave out of the second part what a user had already touched before.

        Raises
        ------
        DataError
            If no action lies before, or none within the horizon.
        """
        instant = as_instant(at)
        until = self.as_of if horizon_days is None else min(self.as_of, instant + timedelta(days=horizon_days))
        time = F.col("event_time")
        train = replace(self, events=self.events.where(time < F.lit(instant)), as_of=instant)
        later = self.events.where((time >= F.lit(instant)) & (time < F.lit(until)))
        if new_items_only:
            seen = train.events.select("user_id", "item_id").distinct()
            later = later.join(seen, on=["user_id", "item_id"], how="left_anti")
        for part, where in ((train.events, "before"), (later, "within the horizon after")):
            if part.isEmpty():
                raise DataError(f"no action lies {where} {instant:%Y-%m-%dT%H:%M:%SZ}; {self._span()}")
        return train, replace(self, events=later, as_of=until, past=train)

    def indexed(self) -> Log:
        """Return the log with an index of its users and items, where it has none."""
        return replace(
            self,
            user_index=self._index("user") if self.user_index is None else self.user_index,
            item_index=self._index("item") if self.item_index is None else self.item_index,
        )

    def _index(self, entity: str) -> DataFrame:
        known = known_ids(entity, as_of=self.as_of, events=self.events, include_anonymous=True)
        if entity == "item" and self.items is not None:
            # An item that nobody touched can be proposed too.
            listed = added_before(self.items, self.as_of).select("item_id")
            known = known.unionByName(listed.where(F.col("item_id").isNotNull())).distinct()
        return new_rows(entity, known, known.limit(0).withColumn("idx", F.lit(0)), as_of=self.as_of)

    def _span(self) -> str:
        time = F.unix_micros("event_time")
        row = self.events.agg(F.min(time).alias("first"), F.max(time).alias("last")).first()
        if row is None or row["first"] is None:
            return "the log is empty"
        first, last = (instant_of(row[end]) for end in ("first", "last"))
        return f"the log runs from {first:%Y-%m-%dT%H:%M:%SZ} to {last:%Y-%m-%dT%H:%M:%SZ}"

    def __repr__(self) -> str:
        """Say what it is without computing anything."""
        return f"Log(as_of={self.as_of:%Y-%m-%dT%H:%M:%S}Z, user={self.ids.user}, item={self.ids.item})"


def as_instant(at: str | date | datetime) -> datetime:
    """Return an instant in UTC; what has no offset is taken as UTC.

    Raises
    ------
    DataError
        If a text is neither a date nor an ISO 8601 instant.
    """
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at.strip())
        except ValueError:
            raise DataError(f"{at!r} is not an instant; write 2024-06-01 or 2024-06-01T13:30:00Z") from None
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _rows(
    raw: DataFrame, ids: Ids, time: str, event_type: str | None, value: str | None, session: str | None
) -> DataFrame:
    """The columns of a log; ids and times that can't be read are null."""
    text, number = F.lit(None).cast("string"), F.lit(None).cast("double")
    kind = F.lit("view" if value is None else "rating")
    rows = raw.select(
        column_of(raw, ids.user).cast("string").alias("user_id"),
        column_of(raw, ids.item).cast("string").alias("item_id"),
        (kind if event_type is None else column_of(raw, event_type).cast("string")).alias("event_type"),
        utc(raw, time).alias("event_time"),
        (number if value is None else column_of(raw, value).cast("double")).alias("value"),
        (text if session is None else column_of(raw, session).cast("string")).alias("session_id"),
    )
    key = F.to_json(F.struct("user_id", "item_id", "event_type", F.unix_micros("event_time"), "value", "session_id"))
    return rows.select(
        F.md5(key).alias("event_id"),
        *rows.columns,
        F.lit(False).alias("is_bot"),
    )


def _checked(rows: DataFrame, raw: DataFrame, *, names: dict[str, str], typed: str | None) -> Row:
    unknown = ~F.coalesce(F.col("event_type").isin(*EVENT_TYPES), F.lit(False))
    found = rows.agg(
        F.count(F.lit(1)).alias("n"),
        *(F.count_if(F.col(column).isNull()).alias(column) for column in names),
        F.slice(F.array_sort(F.collect_set(F.when(unknown, F.coalesce("event_type", F.lit("null"))))), 1, _SHOWN).alias(
            "unknown"
        ),
        F.max(F.unix_micros("event_time")).alias("last"),
    ).first()
    assert found is not None  # an aggregate without groups has one row
    if not found["n"]:
        raise DataError("the frame has no row; there is nothing to learn from")
    for column, name in names.items():
        if found[column]:
            what = "no time that can be read" if column == "event_time" else "no value"
            raise DataError(
                f"column {name} holds {what} in {found[column]:,} of {found['n']:,} rows; fill or drop them"
            )
    if found["unknown"]:
        raise DataError(
            f"column {typed} holds types of action that are not known: {', '.join(found['unknown'])}; "
            f"map them onto {', '.join(EVENT_TYPES)}"
        )
    return found


def _profiles(users: AnyFrame | None, ids: Ids, like: DataFrame) -> DataFrame | None:
    if users is None:
        return None
    frame = ids.adopt(spark_frame(users, like=like))
    column_of(frame, "user_id")
    segment = F.col("segment").cast("string") if "segment" in frame.columns else F.lit(None).cast("string")
    more = [F.col(quote(name)) for name in frame.columns if name not in ("user_id", "segment")]
    return frame.select("user_id", segment.alias("segment"), *more).dropDuplicates(["user_id"])


def _catalog(items: AnyFrame | None, ids: Ids, like: DataFrame) -> DataFrame | None:
    return None if items is None else described(items, ids, like=like)
