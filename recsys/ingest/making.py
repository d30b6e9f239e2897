"""Makes the tables of a batch of the rows that are kept, and what they change in what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.data.instants import instant_of
from recsys.ingest import continued, finish
from recsys.ingest.dataset import Source
from recsys.ingest.holding import Few, Holder
from recsys.ingest.outcome import Origin
from recsys.ingest.quarantine import Tally
from recsys.ingest.robots import VERDICT, is_test_user, robots, told_before, with_known, with_tests
from recsys.ingest.sessions import CUT, NUMBERED, WAS
from recsys.ingest.settings import CleanSettings
from recsys.ingest.taking_back import TakingBack
from recsys.progress import step

_HIDDEN = "__before"


@dataclass(frozen=True)
class _Robots:
    """Robots, those of earlier batches too; `found` is what `recsys.ingest.robots.with_known` returned."""

    found: DataFrame
    news: int


@dataclass
class Maker:
    """Makes tables of a batch.

    Attributes
    ----------
    parts : mapping of str to sequence
        The kept rows of each table, by their shape.
    existing : mapping of str to DataFrame
        What is stored of this dataset, by table; a table that is missing does not exist yet.
    tallies : sequence of Tally
        Counts of the batch.
    late_before : mapping of str to datetime
        Name of a source, to the instant before which its rows are late.
    back : TakingBack, optional
        What is stored without the rows of units that are undone; `existing` is then what is left.
    """

    parts: Mapping[str, finish.Parts]
    existing: Mapping[str, DataFrame]
    tallies: Sequence[Tally]
    origin: Origin
    settings: CleanSettings
    few: Few
    holder: Holder
    late_before: Mapping[str, datetime]
    back: TakingBack | None = None

    def made(self) -> dict[str, DataFrame]:
        """Return the rows to write, by table."""
        tables = {}
        rows = self._events() if "events" in self.parts or self._anew else None
        found = self._robots(rows)
        robots = found.found if found else None
        if rows is not None:
            tables["events"] = self._finished_events(rows, robots)
        if "impressions" in self.parts:
            tables["impressions"] = self.origin.stamp(self._impressions(robots))
        if found and found.news:
            tables["robots"] = self._listed(found.found)
            if "impressions" in self.existing and not (self.back and self.back.writes_impressions):
                tables["impressions"] = self._shown_to(found.found, tables.get("impressions"))
        for name in ("items", "users"):
            if name in self.parts or (self.back and name in self.back.tables):
                stamp = self.origin.stamp
                tables[name] = finish.states(name, self.parts.get(name, ()), self.existing.get(name), stamp=stamp)
        if self.back:
            tables |= self._put_right(self.back, tables, robots)
        return {name: frame.select(*data.BY_NAME[name].column_names) for name, frame in tables.items()}

    def _put_right(
        self, back: TakingBack, tables: Mapping[str, DataFrame], robots: DataFrame | None
    ) -> dict[str, DataFrame]:
        """Make the tables of which rows are taken back, kept since they are asked twice for their keys."""
        found = {"events": tables["events"]} if self._anew else {}
        if self._anew and "robots" in self.existing:
            # All robots that there are now: whoever is not among them goes.
            found["robots"] = self.existing["robots"].limit(0) if robots is None else self._listed(robots)
        if back.writes_impressions:
            declared = is_test_user(self.settings)
            found["impressions"] = back.impressions(tables.get("impressions"), robots, declared=declared)
        return {name: self.holder.hold(frame) for name, frame in found.items()}

    @property
    def _anew(self) -> bool:
        """Whether all stored events of the users at hand are looked at, since some of them are taken back."""
        return self.back is not None and self.back.users is not None

    def since(self) -> datetime | None:
        """Return the instant from which stored events can have keys of this batch; None if none are stored."""
        read = "events" in self.existing and "events" in self.parts and not self._anew
        day = self._start() if read else None
        return None if day is None else datetime.fromisoformat(f"{day}T00:00:00+00:00")

    def _events(self) -> DataFrame:
        """New events, and beside them the stored ones that they may change."""
        if self._anew:
            return self.holder.hold(self._of_all_time())
        parts, sources = self.parts["events"], self._sources()
        rows = self.origin.stamp(finish.events(parts))
        start = self._start()
        if "events" in self.existing and start is not None:
            stored, inside = self.existing["events"], F.col("event_date") >= F.lit(start)
            own_ids = any("event_id" in source.columns for source in sources)
            if own_ids:
                rows = continued.new_only(rows, self._in_time(stored.where(~inside)), self._small)
            rows = continued.with_stored(
                rows, stored.where(inside), own_ids=own_ids, own_steps=self._maps("session_step"), small=self._small
            )
            rows = self.holder.hold(rows)
        return rows

    def _of_all_time(self) -> DataFrame:
        """New events and all that is left of users who gain or lose one."""
        assert self.back is not None
        stored = self.existing["events"]
        if "events" in self.parts:
            fresh = self.origin.stamp(finish.events(self.parts["events"]))
        else:
            fresh = stored.limit(0).drop("is_bot").select("*", F.lit(False).alias(CUT), F.lit(False).alias(NUMBERED))
        return continued.with_stored(
            fresh,
            stored,
            own_ids=self._maps("event_id"),
            own_steps=self._maps("session_step"),
            small=lambda keys: keys,
            others=self.back.users,
        )

    def _maps(self, column: str) -> bool:
        return self.origin.dataset.maps("events", column)

    def _in_time(self, stored: DataFrame) -> DataFrame:
        """Leave out days from before every bound on lateness, if all sources have one."""
        bounds = [self.late_before.get(source.name) for source in self._sources()]
        known = [bound for bound in bounds if bound is not None]
        if len(known) < len(bounds):
            return stored
        return stored.where(F.col("event_date") >= F.lit(min(known).date()))

    def _finished_events(self, rows: DataFrame, found: DataFrame | None) -> DataFrame:
        gap = self.settings.session_gap_minutes
        if self._anew:
            # What was told before counts for nothing: nothing earlier is left out.
            sources = [source for source in self.origin.dataset.sources if source.table == "events"]
            hidden = rows.withColumnRenamed(WAS, _HIDDEN)
            whole = finish.sessioned(hidden, sources, gap_minutes=gap).withColumnRenamed(_HIDDEN, WAS)
            return continued.changed(finish.flagged(whole, found, "event_time"))
        whole = finish.sessioned(rows, self._sources(), gap_minutes=gap)
        flagged = finish.flagged(whole, found, "event_time")
        return continued.changed(flagged) if WAS in flagged.columns else flagged

    def _impressions(self, found: DataFrame | None) -> DataFrame:
        return finish.impressions(self.parts["impressions"], found, declared=is_test_user(self.settings))

    def _robots(self, rows: DataFrame | None) -> _Robots | None:
        """Find the robots among the users of the events, and add those that are known; None where there are none."""
        known, found = self.existing.get("robots"), None
        if rows is not None:
            baskets = any(one.table == "events" and one.explode for one in self.origin.dataset.sources)
            found = with_tests(robots(rows, self.settings, baskets=baskets), rows, self.settings)
        if found is None and known is None:
            return None
        with step("find robots") as this:
            held = self.holder.hold(self._united(found, known, rows))
            # Within one partition, rows are counted without a shuffle.
            counts = (
                held.coalesce(1)
                .agg(
                    F.count(F.lit(1)).alias("n"),
                    F.count("robot_since").alias("robots"),
                    F.count_if("is_news").alias("news"),
                )
                .first()
            )
            assert counts is not None
            this.rows = counts["robots"]
            return _Robots(self.few.broadcast(held, counts["n"]), counts["news"]) if counts["n"] else None

    def _united(self, found: DataFrame | None, known: DataFrame | None, rows: DataFrame | None) -> DataFrame:
        if known is None:
            assert found is not None
            nobody = F.lit(None).cast("string").alias("batch_id")
            return found.select("user_id", *VERDICT, nobody, F.lit(True).alias("is_news"))
        told = told_before(known)
        if found is None or rows is None:
            return told.select("*", F.lit(False).alias("is_news"))
        return with_known(found, told, users=rows, start=self._start() if WAS in rows.columns else None)

    def _listed(self, found: DataFrame) -> DataFrame:
        """All robots of the dataset, as the table lists them."""
        return found.where("robot_since IS NOT NULL").select(
            F.lit(self.origin.dataset.name).alias("source"),
            "user_id",
            *VERDICT,
            F.coalesce("batch_id", F.lit(self.origin.batch_id)).alias("batch_id"),
        )

    def _shown_to(self, found: DataFrame, fresh: DataFrame | None) -> DataFrame:
        """Add to new shown lists the stored ones whose flag is another now that more is known of their user."""
        names = data.IMPRESSIONS.column_names
        news = found.where("is_news").select("user_id", "robot_since")
        stored = self.existing["impressions"].join(news, on="user_id")
        flag = F.coalesce(F.col("shown_at") >= F.col("robot_since"), F.lit(False)) | is_test_user(self.settings)
        late = stored.where(F.col("is_bot") != flag).withColumn("is_bot", flag).select(*names)
        if fresh is None:
            return late
        key = list(data.IMPRESSIONS.key)
        return fresh.select(*names).unionByName(late.join(fresh.select(*key), on=key, how="left_anti").select(*names))

    def _sources(self) -> list[Source]:
        return [source for shape, _ in self.parts["events"] for source in shape.sources]

    def _small(self, keys: DataFrame) -> DataFrame:
        return self.few.broadcast(keys, sum(one.rows for one in self.tallies if one.table == "events"))

    def _start(self) -> date | None:
        firsts = [
            one.first for one in self.tallies if one.table == "events" and not one.reasons and one.first is not None
        ]
        if not firsts:
            return None
        return continued.window_start(instant_of(min(firsts)).date(), self.settings.session_gap_minutes)
