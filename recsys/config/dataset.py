"""The mapping of a source onto the contract (`--dataset conf/datasets/NAME.yaml`): declarations only.

What can be known to be wrong without looking at the data is refused here: unknown columns of the contract, missing
required ones, expressions that are not pure, types of events that the contract lacks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from recsys import tables
from recsys.config.expressions import referenced_columns
from recsys.config.sections import Identifier, PositiveInt, Section
from recsys.errors import ConfigError

MAPPED_TABLES = ("events", "impressions", "items", "users")
MappedTable = Literal["events", "impressions", "items", "users"]

_DERIVED = frozenset(
    ["event_date", "shown_date", "is_bot", "source", "batch_id", "ingested_at", "valid_to", "is_current", "attributes"]
)
_REQUIRED = {
    "events": ("item_id", "event_type", "event_time"),
    "impressions": ("list_id", "item_id", "shown_at"),
    "items": ("item_id",),
    "users": ("user_id",),
}
LISTABLE = {
    "events": ("item_id", "value", "quantity", "price"),
    "impressions": ("item_id", "price", "propensity", "label"),
}
"""Contract columns that may come as lists side by side, one row per element."""

RAW, FILE, BROKEN = "__raw", "__file", "__broken"
"""Columns that a reader adds to each row of a source: the row as it was read, its file, whether it can't be parsed."""

TIME_COLUMN = {"events": "event_time", "impressions": "shown_at"}
UNIX_FORMATS = {"unix_s": 1_000_000, "unix_ms": 1_000, "unix_us": 1}


def mappable_columns(table: str) -> tuple[str, ...]:
    """Contract columns of a table that a mapping may fill; the others follow from them."""
    return tuple(name for name in tables.BY_NAME[table].column_names if name not in _DERIVED)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write a name such as Europe/Berlin or UTC") from None
    return name


def _pure(expression: str) -> str:
    referenced_columns(expression)
    return expression


Zone = Annotated[str, AfterValidator(_known_zone)]
Sql = Annotated[str, Field(min_length=1), AfterValidator(_pure)]


class ColumnMapping(Section):
    """Where one contract column comes from: exactly one of `column`, `literal` and `expr`.

    In YAML a plain string is short for `{column: NAME}`.
    """

    column: str | None = Field(None, min_length=1, description="Column of the source")
    literal: str | int | float | bool | None = Field(None, description="The same value for every row")
    expr: Sql | None = Field(None, description="A SQL expression over the source's columns; known pure functions only")
    format: str | None = Field(
        None,
        min_length=1,
        description="Of a time: unix_s, unix_ms, unix_us, iso, or a Spark pattern such as dd/MM/yyyy HH:mm; "
        "null: ISO 8601",
    )
    timezone: Zone | None = Field(None, description="Zone of a time without an offset; null: the dataset's")
    separator: str | None = Field(None, min_length=1, description="Splits a text that holds a list (with `explode`)")

    @model_validator(mode="after")
    def _exactly_one(self) -> ColumnMapping:
        given = [name for name in ("column", "literal", "expr") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of column, literal, expr (found {', '.join(given) or 'none'})")
        return self

    def source_columns(self) -> frozenset[str]:
        """Columns of the source that the value is made of."""
        if self.column is not None:
            return frozenset([self.column])
        return referenced_columns(self.expr) if self.expr is not None else frozenset()


class SourceFormat(Section):
    """How the files of a source are read."""

    type: Literal["csv", "json", "parquet", "delta"] = Field(
        description="File format; gzipped files are recognised by their name"
    )
    header: bool = Field(True, description="csv: the first line of each file names the columns")
    names: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None, description="csv without a header: the columns, in order"
    )
    separator: str = Field(
        ",", min_length=1, max_length=8, description="csv: may be several characters long, such as ::"
    )
    quote: str = Field('"', max_length=1, description="csv: quote character; empty for none")
    escape: str = Field('"', max_length=1, description="csv: escape character within quotes")
    multiline: bool = Field(False, description="csv: quoted values may hold line breaks (files are then not split)")
    encoding: str = Field("UTF-8", description="csv, json: encoding of the text")

    @model_validator(mode="after")
    def _fits_type(self) -> SourceFormat:
        if self.type == "csv" and not self.header and not self.names:
            raise ValueError("a csv without a header needs `names`, its columns in order")
        if self.names and (self.type != "csv" or self.header):
            raise ValueError("`names` is for a csv with `header: false`; with a header the file names its columns")
        if self.names and len(set(self.names)) != len(self.names):
            raise ValueError("`names` holds a name twice")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"encoding {self.encoding!r} is not known; write for example ISO-8859-1") from None
        return self


class Source(Section):
    """One source: files that become rows of one table."""

    name: Identifier = Field(description="Name of the source, shown in quarantine")
    table: MappedTable = Field(description="Table that it fills")
    path: str = Field(min_length=1, description="File, directory or glob, relative to input.root")
    format: SourceFormat
    where: Sql | None = Field(
        None, description="SQL condition: rows that are not of this source are passed over, and counted"
    )
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
        (), description="The source's event types that are passed over, and counted"
    )
    explode: tuple[str, ...] = Field(
        (), description="Contract columns that hold lists side by side: one row per element, in their order"
    )
    null_values: tuple[str, ...] = Field((), description="Texts that stand for no value, such as NA")
    latest_by: ColumnMapping | None = Field(
        None, description="items, users: where a key repeats, the row with the largest value of this stays"
    )
    observations: bool = Field(
        False,
        description="items, users: rows are sightings of a thing (a sale that tells its title), not records of it: "
        "repeats are merged, changes become a history",
    )
    optional: bool = Field(False, description="Go on without it where no file is there")

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
        self._check_columns()
        self._check_lists()
        self._check_kind()
        return self

    def _check_columns(self) -> None:
        known = mappable_columns(self.table)
        for name, mapping in self.columns.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
                raise ValueError(f"source {self.name}: {self.table} takes no column {name}; {hint}")
            is_time = tables.BY_NAME[self.table].column(name).type == "timestamp"
            if not is_time and (mapping.format or mapping.timezone):
                raise ValueError(f"source {self.name}: column {name} is no time, so it takes no format and no timezone")
        missing = [name for name in _REQUIRED[self.table] if name not in self.columns]
        if self.table in TIME_COLUMN and not {"user_id", "session_id"} & set(self.columns):
            missing.append("user_id (or session_id)")
        if self.table == "impressions" and not self.explode and "position" not in self.columns:
            missing.append("position (or explode)")
        if missing:
            raise ValueError(f"source {self.name}: {self.table} needs {', '.join(missing)}")

    def _check_lists(self) -> None:
        allowed = LISTABLE.get(self.table, ())
        for name in self.explode:
            if name not in allowed:
                fits = f"only {', '.join(allowed)} can" if allowed else "explode is for events and impressions"
                raise ValueError(f"source {self.name}: {name} can't hold lists in {self.table}; {fits}")
            if name not in self.columns:
                raise ValueError(f"source {self.name}: explode names {name}, which `columns` does not map")
        if self.explode and "item_id" not in self.explode:
            raise ValueError(f"source {self.name}: explode must name item_id, the list of items itself")
        for name, mapping in {**self.columns, **self.attributes}.items():
            if mapping.separator is not None and name not in self.explode:
                raise ValueError(f"source {self.name}: column {name} has a separator but is not in explode")

    def _check_kind(self) -> None:
        if self.table != "events" and (self.event_types or self.ignore_event_types):
            raise ValueError(f"source {self.name}: event types are for events, not for {self.table}")
        if self.table not in ("items", "users") and (self.observations or self.latest_by):
            raise ValueError(f"source {self.name}: observations and latest_by are for items and users")
        if self.latest_by and (self.latest_by.format or self.latest_by.timezone or self.latest_by.separator):
            raise ValueError(
                f"source {self.name}: latest_by compares values as they are; for a time in another format give an "
                "expression such as {expr: \"to_timestamp(changed, 'dd.MM.yyyy')\"}"
            )
        unknown = sorted(set(self.event_types.values()) - set(tables.EVENT_TYPES))
        if unknown:
            raise ValueError(
                f"source {self.name}: event_types maps to {', '.join(unknown)}; the contract has "
                f"{', '.join(tables.EVENT_TYPES)}"
            )
        both = sorted(set(self.event_types) & set(self.ignore_event_types))
        if both:
            raise ValueError(f"source {self.name}: event type {both[0]} is both mapped and ignored")
        stated = self.columns["event_type"].literal if self.table == "events" else None
        if stated is not None and str(stated) not in {
            *self.event_types,
            *(() if self.event_types else tables.EVENT_TYPES),
        }:
            raise ValueError(f"source {self.name}: event_type {stated!r} is none of {', '.join(tables.EVENT_TYPES)}")

    def source_columns(self) -> frozenset[str]:
        """Every column of the source that the mapping reads."""
        mappings = [*self.columns.values(), *self.attributes.values()]
        if self.latest_by is not None:
            mappings.append(self.latest_by)
        read: frozenset[str] = frozenset().union(*(mapping.source_columns() for mapping in mappings))
        return read | (referenced_columns(self.where) if self.where is not None else frozenset())

    def list_columns(self) -> frozenset[str]:
        """Columns of the source that hold lists as such (not as one text that a separator splits)."""
        exploded = (self.columns[name] for name in self.explode)
        return frozenset(m.column for m in exploded if m.column is not None and m.separator is None)


class Dataset(Section):
    """A dataset: its sources, and the settings of the line that its nature asks for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = Field(
        description="Name of the dataset; becomes `source` in the tables"
    )
    description: str = Field("", description="What it is, for people")
    timezone: Zone = Field("UTC", description="Zone of times without an offset")
    sources: tuple[Source, ...] = Field(min_length=1)
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Config keys that this data asks for; --config files and --set win over them",
    )
    max_list_length: PositiveInt = Field(1000, description="Longer shown lists are quarantined")

    def maps(self, table: str, column: str) -> bool:
        """Whether a source of the table fills a contract column."""
        return any(source.table == table and column in source.columns for source in self.sources)

    @model_validator(mode="after")
    def _sources_fit(self) -> Dataset:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        return self


_IN_IDS = ("columns", "attributes", "explode", "null_values", "event_types")
"""What of a source's mapping decides the values of a row, and with them the id of an event that has none."""


def require_same_ids(now: Dataset, before: Mapping[str, Any]) -> None:
    """Check that events without an id of their own get the same ids as under an earlier form of the mapping.

    Parameters
    ----------
    before : mapping
        The earlier form as plain values (`model_dump(mode="json")`).

    Raises
    ------
    ConfigError
        Naming the sources whose events would be stored once more, under other ids.
    """
    earlier = {source["name"]: source for source in before.get("sources", ())}
    changed = []
    for source in now.sources:
        if source.table != "events" or "event_id" in source.columns or source.name not in earlier:
            continue
        plain, known = source.model_dump(mode="json"), earlier[source.name]
        same = all(plain[key] == known.get(key) for key in _IN_IDS) and now.timezone == before.get("timezone")
        changed += [] if same else [source.name]
    if changed:
        raise ConfigError(
            f"source {', '.join(changed)} of {now.name} was cleaned under another mapping before, and its events have "
            "no event_id: files that are read again would count twice. Map an event_id, or clean into a new "
            "warehouse; if only new files follow, --set clean.accept_changed_mapping=true"
        )
