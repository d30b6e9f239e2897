"""Takes back what units brought: stored rows without theirs, and the keys that have to go."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.ingest.histories import without_units
from recsys.ingest.holding import Holder
from recsys.ingest.undo import Undo

_LOGS, _HISTORIES = ("events", "impressions"), ("items", "users")


class TakingBack:
    """What is stored without the rows of some units.

    Parameters
    ----------
    stored : mapping of str to DataFrame
        What is stored of the dataset, by table.

    Attributes
    ----------
    left : dict of str to DataFrame
        The same without what the units brought. Of robots, those stay whose events are all there.
    users : DataFrame, optional
        `user_id` of those who lose an event; None if events stay as they are.
    """

    def __init__(self, undo: Undo, stored: Mapping[str, DataFrame], holder: Holder) -> None:
        self._stored, self._gone = stored, dict[str, DataFrame]()
        self.left, self.users = dict(stored), None
        for table in undo.tables & stored.keys():
            brought = undo.brought(table)
            if table in _HISTORIES:
                self.left[table] = without_units(stored[table], brought)
                continue
            goes = brought(F.col("unit"))
            gone = stored[table].where(goes).select("user_id", *data.BY_NAME[table].key)
            self._gone[table] = holder.hold(gone)
            self.left[table] = stored[table].where(~goes)
        self.tables = frozenset(undo.tables & stored.keys())
        if "events" in self._gone:
            self.users = holder.hold(self._gone["events"].select("user_id").distinct())
            if "robots" in stored:
                self.left["robots"] = stored["robots"].join(self.users, on="user_id", how="left_anti")

    @property
    def writes_impressions(self) -> bool:
        """Whether stored shown lists may change: some go, or their users may be no robots any more."""
        return "impressions" in self._stored and bool(self.tables & {*_LOGS})

    def impressions(self, fresh: DataFrame | None, robots: DataFrame | None, *, declared: Column) -> DataFrame:
        """Return the shown items to write: those that are new, and stored ones with another label or flag.

        Parameters
        ----------
        fresh : DataFrame, optional
            Rows of the batch, flagged.
        robots : DataFrame, optional
            What `recsys.ingest.robots.with_known` returned.
        declared : Column
            Whether `user_id` is a declared test account.
        """
        names, key, left = data.IMPRESSIONS.column_names, list(data.IMPRESSIONS.key), self.left["impressions"]
        told = left.limit(0) if fresh is None else fresh.select(*names)
        labels = told.select(*key, F.col("label").alias("__label"), F.col("known_at").alias("__known_at"))
        rows = left.join(labels, on=key, how="left")
        label, flag = F.coalesce("label", "__label"), F.col("is_bot")
        rows, flag = _judged(rows, self.users, robots, flag)
        flag = flag | declared
        changed = rows.where(~label.eqNullSafe(F.col("label")) | (flag != F.col("is_bot")))
        renewed = {"label": label, "known_at": F.coalesce("known_at", "__known_at"), "is_bot": flag}
        stored = changed.select(*(renewed.get(name, F.col(name)).alias(name) for name in names))
        return told.join(left.select(*key), on=key, how="left_anti").select(*names).unionByName(stored)

    def removed(self, tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
        """Return the keys of stored rows that go, by table: those of the units that `tables` does not write again."""
        gone = dict(self._gone)
        if self.users is not None and "robots" in self._stored:
            gone["robots"] = self._stored["robots"]
        if self.writes_impressions and "impressions" not in gone:
            gone["impressions"] = self._stored["impressions"].limit(0)
        keys = {table: list(data.BY_NAME[table].key) for table in gone}
        return {
            table: rows.select(*keys[table]).join(tables[table].select(*keys[table]), on=keys[table], how="left_anti")
            for table, rows in gone.items()
        }


def _judged(
    rows: DataFrame, users: DataFrame | None, robots: DataFrame | None, flag: Column
) -> tuple[DataFrame, Column]:
    """Join what decides the flag of stored rows: anew of users who lost events, or of whom something else is known."""
    if users is not None:
        rows = rows.join(users.select("user_id", F.lit(True).alias("__anew")), on="user_id", how="left")
        flag = flag & F.col("__anew").isNull()
    if robots is not None:
        since = robots.select("user_id", F.col("robot_since").alias("__since"), F.col("is_news").alias("__news"))
        rows = rows.join(since, on="user_id", how="left")
        flag = flag & ~F.coalesce("__news", F.lit(False))
        flag = flag | F.coalesce(F.col("shown_at") >= F.col("__since"), F.lit(False))
    return rows, flag
