"""A dataset mapping (`--dataset conf/datasets/NAME.yaml`): how a dataset's sources map onto the contract.

Declarations only. Whatever can be seen to be wrong without the data is refused here: contract columns that don't exist
or are missing, expressions that are not pure, event types that the contract lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from recsys import data
from recsys.errors import ConfigError
from recsys.ingest.columns import ADDED, ColumnMapping, SourceFormat, Sql, Zone
from recsys.ingest.expressions import referenced_columns
from recsys.ingest.literals import is_special
from recsys.ingest.mappable import AMOUNTS, IDS, LISTABLE, REQUIRED, TIME_COLUMN, MappedTable, mappable_columns
from recsys.ingest.texts import check_texts
from recsys.secrets import masked
from recsys.settings import Identifier, PositiveInt, Section, closest, nearest


class Source(Section):
    """One source: files that become rows of one table."""

    name: Identifier = Field(description="Name of the source, shown in quarantine")
    table: MappedTable = Field(description="Table that it fills")
    path: str = Field(min_length=1, description="File, directory or glob below input.root, relative to it")
    format: SourceFormat
    where: Sql | None = Field(None, description="SQL condition; rows that don't meet it are skipped, and counted")
    columns: dict[str, ColumnMapping] = Field(description="Contract column → where it comes from")
    attributes: dict[str, ColumnMapping] = Field(
        default_factory=dict,
        description="Attribute → where it comes from; a list of source columns keeps their own names",
    )
    event_types: dict[str, str] = Field(
        default_factory=dict,
        description="The source's event types → the contract's; empty: they are the contract's",
    )
    ignore_event_types: tuple[str, ...] = Field(
        (), description="The source's event types that are skipped, and counted"
    )
    explode: tuple[str, ...] = Field(
        (), description="Contract columns that hold parallel lists: one row per element, in their order"
    )
    null_values: tuple[str, ...] = Field((), description="Texts that stand for no value, such as NA")
    latest_by: ColumnMapping | None = Field(
        None, description="items, users: of rows with the same key, the one with the largest value of this stays"
    )
    observations: bool = Field(
        False,
        description="items, users: rows are sightings of a thing (a sale that mentions its title), not records of it: "
        "repeats are merged, changes become a history",
    )
    optional: bool = Field(False, description="Go on without it if it has no files")
    new_columns: Literal["report", "attributes", "stop"] = Field(
        "report",
        description="What becomes of columns that the mapping does not read: the log names those that no earlier file "
        "had; all of them travel in `attributes`; or one that no earlier file had stops the run",
    )
    late_after_days: PositiveInt | None = Field(
        None,
        description="events, impressions: a row this many days older than the newest of earlier batches is quarantined "
        "as late, and no older day is searched or changed; null: rows may be as late as they like",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if isinstance(data.get("format"), str):
            data["format"] = {"type": data["format"]}
        if isinstance(data.get("latest_by"), str):
            data["latest_by"] = {"column": data["latest_by"]}
        if isinstance(data.get("attributes"), (list, tuple)):
            data["attributes"] = {name: name for name in data["attributes"]}
        for key in ("columns", "attributes"):
            if isinstance(data.get(key), dict):
                data[key] = {k: {"column": v} if isinstance(v, str) else v for k, v in data[key].items()}
        return data

    @model_validator(mode="after")
    def _fits_contract(self) -> Source:
        problems = (
            *self._column_problems(),
            *self._change_problems(),
            *self._list_problems(),
            *self._kind_problems(),
            *self._type_problems(),
        )
        if problems:
            raise ValueError(f"source {self.name}: {problems[0]}")
        return self

    def _column_problems(self) -> list[str]:
        known, found = mappable_columns(self.table), []
        for name, mapping in self.columns.items():
            if name not in known:
                found.append(f"{self.table} takes no column {name}; {nearest(name, known, 'it takes')}")
            elif (mapping.format or mapping.timezone) and data.BY_NAME[self.table].column(name).type != "timestamp":
                found.append(f"column {name} is not a time, so it takes no format and no timezone")
            elif data.BY_NAME[self.table].column(name).type == "timestamp" and is_special(str(mapping.literal)):
                found.append(f"column {name}: {mapping.literal!r} differs from run to run; write a date")
        missing = [name for name in REQUIRED[self.table] if name not in self.columns]
        if self.table in TIME_COLUMN and not {"user_id", "session_id"} & set(self.columns):
            missing.append("user_id (or session_id)")
        if self.table == "impressions" and not self.explode and "position" not in self.columns:
            missing.append("position (or explode)")
        return [*found, *([f"{self.table} needs {', '.join(missing)}"] if missing else [])]

    def _change_problems(self) -> list[str]:
        found = []
        for name, mapping in {**self.columns, **self.attributes}.items():
            if mapping.changed and (name in self.explode or mapping.literal is not None):
                what = "holds a list" if name in self.explode else "is the same in every row"
                found.append(
                    f"column {name} {what}; normalize, case, decimal, synonyms, missing and flag are for single values"
                )
        found += [
            f"{name} is no amount, so it takes no currency; price and value do"
            for name, one in {**self.columns, **{f"attribute {k}": v for k, v in self.attributes.items()}}.items()
            if one.currency is not None and name not in AMOUNTS
        ]
        found += [
            f"attribute {name}: flag is for columns of the contract"
            for name, one in self.attributes.items()
            if one.flag
        ]
        if self.latest_by is not None and self.latest_by.changed:
            found.append("latest_by compares values as they are; give an expression instead")
        return found

    def _list_problems(self) -> list[str]:
        allowed, found = LISTABLE.get(self.table, ()), []
        for name in self.explode:
            if name not in allowed:
                fits = f"only {', '.join(allowed)} can" if allowed else "explode is for events and impressions"
                found.append(f"{name} can't hold lists in {self.table}; {fits}")
            elif name not in self.columns:
                found.append(f"explode names {name}, which `columns` does not map")
        if self.explode and "item_id" not in self.explode:
            found.append("explode must name item_id, the list of items itself")
        for name, mapping in {**self.columns, **self.attributes}.items():
            if mapping.separator is not None and name not in self.explode:
                found.append(f"column {name} has a separator but is not in explode")
            if mapping.field is not None and (name not in self.explode or mapping.separator is not None):
                found.append(f"column {name} has a field, which is for lists of objects: name it in explode")
            if mapping.as_written and name not in IDS & self.columns.keys():
                found.append(f"column {name} is no id, so it stays as it is written; leave as_written out")
        return found

    def _kind_problems(self) -> list[str]:
        found = []
        if self.table != "events" and (self.event_types or self.ignore_event_types):
            found.append(f"event types are for events, not for {self.table}")
        if self.table not in ("items", "users") and (self.observations or self.latest_by):
            found.append("observations and latest_by are for items and users")
        if self.table in ("items", "users") and self.late_after_days:
            found.append("late_after_days is for events and impressions; a late state is put in its place")
        if self.new_columns == "attributes" and self.table == "events" and "event_id" not in self.columns:
            found.append(
                "new_columns: attributes needs an event_id, since ids made of the values would change with them"
            )
        if self.new_columns == "attributes" and self.format.type == "json" and not self.format.unicode:
            found.append("new_columns: attributes needs json in UTF-8, UTF-16 or UTF-32")
        if self.latest_by and (self.latest_by.format or self.latest_by.timezone or self.latest_by.separator):
            found.append(
                "latest_by compares values as they are; for a time in another format give an expression such as "
                "{expr: \"to_timestamp(changed, 'dd.MM.yyyy')\"}"
            )
        return found

    def _type_problems(self) -> list[str]:
        found = []
        unknown = sorted(set(self.event_types.values()) - set(data.EVENT_TYPES))
        if unknown:
            hint = nearest(unknown[0], data.EVENT_TYPES, "the contract has")
            found.append(f"event_types maps to {', '.join(unknown)}; {hint}")
        both = sorted(set(self.event_types) & set(self.ignore_event_types))
        if both:
            found.append(f"event type {both[0]} is both mapped and ignored")
        mapping = self.columns.get("event_type") if self.table == "events" else None
        if (
            mapping
            and mapping.literal is not None
            and str(mapping.literal) not in (self.event_types or data.EVENT_TYPES)
        ):
            close = closest(str(mapping.literal), data.EVENT_TYPES)
            hint = f"; did you mean {close}?" if close else ""
            found.append(f"event_type {mapping.literal!r} is none of {', '.join(data.EVENT_TYPES)}{hint}")
        return found

    def source_columns(self) -> frozenset[str]:
        """Every column of the source that the mapping reads."""
        mappings = [*self.columns.values(), *self.attributes.values()]
        if self.latest_by is not None:
            mappings.append(self.latest_by)
        read: frozenset[str] = frozenset().union(*(mapping.source_columns() for mapping in mappings))
        return read | (referenced_columns(self.where) if self.where is not None else frozenset())

    def needed_columns(self) -> frozenset[str]:
        """Columns of the source that every row needs: for what the contract requires, for keys, and for `where`."""
        keys = data.BY_NAME[self.table].key if self.table in TIME_COLUMN else ()
        wanted = {*REQUIRED[self.table], *keys}
        if self.table in TIME_COLUMN:
            wanted.add("user_id" if "user_id" in self.columns else "session_id")
        read: frozenset[str] = frozenset().union(
            *(self.columns[name].source_columns() for name in wanted if name in self.columns)
        )
        return read | (referenced_columns(self.where) if self.where is not None else frozenset())

    def list_columns(self) -> frozenset[str]:
        """Columns of the source that hold lists as such (not as one text that a separator splits)."""
        exploded = (self.columns[name] for name in self.explode)
        return frozenset(m.column for m in exploded if m.column is not None and m.separator is None)


class Dataset(Section):
    """A dataset: its sources, and the config keys that its nature calls for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = Field(
        description="Name of the dataset; becomes `source` in the tables"
    )
    description: str = Field("", description="What it is, for people")
    timezone: Zone = Field("UTC", description="Zone of times without an offset")
    sources: tuple[Source, ...] = Field(min_length=1)
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Config keys that suit this data; --config files and --set win over them",
    )
    max_list_length: PositiveInt = Field(1000, description="Longer shown lists are quarantined")

    def maps(self, table: str, column: str) -> bool:
        """Tell whether a source of the table fills a contract column."""
        return any(source.table == table and column in source.columns for source in self.sources)

    def without_settings(self) -> dict[str, Any]:
        """What decides how raw rows are cleaned, as plain values: all but `settings` and `description`."""
        return self.model_dump(mode="json", exclude={"settings", "description"})

    @model_validator(mode="before")
    @classmethod
    def _plain_texts(cls, data: Any) -> Any:
        check_texts(data)
        return data

    @model_validator(mode="after")
    def _sources_fit(self) -> Dataset:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self


_IN_IDS: Final = ("columns", "attributes", "explode", "null_values", "event_types")
"""The parts of a source's mapping that decide a row's values, and with them the id of an event that has none."""


def _with_added(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source as an earlier version of the project stored it, with the fields that column mappings gained since."""
    plain = ColumnMapping(literal="").model_dump(mode="json")
    added = {name: plain[name] for name in ADDED}
    parts = {part: source.get(part) or {} for part in ("columns", "attributes")}
    return {**source, **{part: {name: {**added, **one} for name, one in maps.items()} for part, maps in parts.items()}}


def makes_ids(dataset: Dataset) -> bool:
    """Tell whether events of a dataset get an id that is made of their values."""
    return any(source.table == "events" and "event_id" not in source.columns for source in dataset.sources)


def require_same_ids(now: Dataset, before: Mapping[str, Any]) -> None:
    """Check that events without an id of their own get the same ids as under an earlier version of the mapping.

    Parameters
    ----------
    before : mapping
        The earlier version as plain values (`model_dump(mode="json")`).

    Raises
    ------
    ConfigError
        Naming the sources whose events would be stored again under other ids.
    """
    # What is stored was masked, and how much by the version that stored it.
    earlier = {source["name"]: masked(source) for source in before.get("sources", ())}
    changed = []
    for source in now.sources:
        if source.table != "events" or "event_id" in source.columns or source.name not in earlier:
            continue
        plain, known = masked(source.model_dump(mode="json")), _with_added(earlier[source.name])
        same = all(_said(plain[key]) == _said(known.get(key)) for key in _IN_IDS)
        same = same and now.timezone == before.get("timezone")
        changed += [] if same else [source.name]
    if changed:
        raise ConfigError(
            f"source {', '.join(changed)} of {now.name} was cleaned under another mapping before, and its events have "
            "no event_id: files that are read again would count twice. Map an event_id, or clean into a new "
            "warehouse; if only new files follow, --set clean.accept_changed_mapping=true"
        )


def _said(value: Any) -> Any:
    """A part of a mapping without the keys that say nothing: earlier versions did not know all of them."""
    if isinstance(value, Mapping):
        return {key: _said(inner) for key, inner in value.items() if inner is not None and inner is not False}
    return [_said(inner) for inner in value] if isinstance(value, (list, tuple)) else value
