"""The parts of a source's declaration: where a column comes from, and how the files are read."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from recsys.ingest.encodings import java_name
from recsys.ingest.expressions import referenced_columns
from recsys.settings import PositiveFloat, Section

_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


def _known_zone(name: str) -> str:
    try:
        if not _ZONE.fullmatch(name):
            raise ValueError(name)
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone; write a name such as Europe/Berlin or UTC") from None
    return name


def _pure(expression: str) -> str:
    referenced_columns(expression)
    return expression


def _known_encoding(name: str) -> str:
    java_name(name)
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone."""
Sql = Annotated[str, Field(min_length=1), AfterValidator(_pure)]
"""A SQL expression made of pure functions."""


class Currency(Section):
    """Converts amounts of several currencies into one, by fixed rates."""

    column: str = Field(min_length=1, description="Column of the source that names the currency of the row's amount")
    rates: dict[Annotated[str, Field(min_length=1)], PositiveFloat] = Field(
        min_length=1, description="Currency → what one unit of it is worth in `to`; case does not matter"
    )
    to: str = Field(min_length=1, description="Currency that all amounts are converted into; its rate is 1")

    @model_validator(mode="after")
    def _each_once(self) -> Currency:
        names = [name.upper() for name in self.rates]
        if len(set(names)) < len(names):
            raise ValueError("rates name a currency twice, in different case")
        if self.known()[self.to.upper()] != 1.0:
            raise ValueError(f"the rate of {self.to}, which is what amounts are converted into, is 1")
        return self

    def known(self) -> dict[str, float]:
        """Rate of each currency, by its name in upper case."""
        return {self.to.upper(): 1.0} | {name.upper(): rate for name, rate in self.rates.items()}


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
        max_length=100,
        description="For a time: unix_s, unix_ms, unix_us, iso, or a Spark pattern such as dd/MM/yyyy HH:mm; "
        "null: ISO 8601",
    )
    timezone: Zone | None = Field(None, description="Zone of a time without an offset; null: the dataset's")
    separator: str | None = Field(
        None, min_length=1, max_length=8, description="Splits a text that holds a list (with `explode`)"
    )
    field: str | None = Field(
        None,
        min_length=1,
        description="Of a list of objects (with `explode`): the field of each that is meant; dots lead further in",
    )
    as_written: bool = Field(
        False, description="For an id: 7.0 is not 7, and NaN is a text like any other (version numbers, nicknames)"
    )

    normalize: Literal["nfkc"] | None = Field(
        None, description="Write a text in one form of Unicode: nfkc makes ｱ ア, ﬁ fi and ２ 2"
    )
    currency: Currency | None = Field(
        None, description="price, value: convert amounts into one currency; a row of another one is refused"
    )
    case: Literal["lower", "upper"] | None = Field(None, description="Write a text in this case")
    decimal: Literal[".", ","] = Field(
        ".", description="Decimal sign of numbers in texts; with a comma, dots and spaces between digits are dropped"
    )
    synonyms: dict[str, str] = Field(
        default_factory=dict, description="Texts (after `case`) that are written as another one"
    )
    missing: Literal["keep", "quarantine", "drop", "constant"] = Field(
        "keep",
        description="What becomes of a row without this value: it stays, is refused, is skipped and counted, or gets "
        "`fill`",
    )
    fill: str | int | float | bool | None = Field(None, description="The value of `missing: constant`")
    flag: bool = Field(False, description="Tell by the attribute COLUMN_missing (true) that the source had no value")

    @model_validator(mode="after")
    def _exactly_one(self) -> ColumnMapping:
        given = [name for name in ("column", "literal", "expr") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of column, literal, expr (found {', '.join(given) or 'none'})")
        if (self.missing == "constant") != (self.fill is not None):
            raise ValueError("missing: constant and fill go together")
        if self.currency is not None and self.fill is not None:
            raise ValueError("an amount that is filled in has no currency to convert; leave out fill or currency")
        return self

    @property
    def changed(self) -> bool:
        """Whether values are changed, or rows without one are treated apart."""
        plain = [name for name in ADDED if name not in ("synonyms", "currency")]
        given = any(getattr(self, name) != ColumnMapping.model_fields[name].default for name in plain)
        return given or bool(self.synonyms)

    def source_columns(self) -> frozenset[str]:
        """Columns of the source that the value is made of."""
        named = frozenset([self.currency.column]) if self.currency is not None else frozenset[str]()
        if self.column is not None:
            return named | {self.column}
        return named | (referenced_columns(self.expr) if self.expr is not None else frozenset())


ADDED: Final = ("normalize", "currency", "case", "decimal", "missing", "fill", "flag", "synonyms")
"""Fields that mappings did not have before version 0.7; without them a mapping is what it was."""


class SourceFormat(Section):
    """How the files of a source are read."""

    type: Literal["csv", "json", "parquet", "delta", "orc", "avro"] = Field(
        description="File format; gzipped files are recognized by their name"
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
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "UTF-8", description="csv, json: encoding of the text; UTF-16 is also recognized by its byte order mark"
    )
    changes: bool = Field(
        False,
        description="delta: read the table once as a whole, and then what was inserted or updated, from its change "
        "feed; the columns _commit_version and _commit_timestamp come with it",
    )
    deletes: Literal["stop", "keep"] = Field(
        "stop",
        description="delta with `changes`, events and impressions: what happens if rows were deleted",
    )

    @property
    def unicode(self) -> bool:
        """Whether the text is in an encoding of Unicode."""
        return java_name(self.encoding).startswith("UTF-")

    @model_validator(mode="after")
    def _fits_type(self) -> SourceFormat:
        if self.changes and self.type != "delta":
            raise ValueError(f"changes: true is for delta; {self.type} has no change feed")
        if self.type == "csv" and not self.header and not self.names:
            raise ValueError("a csv without a header needs `names`, its columns in order")
        if self.names and (self.type != "csv" or self.header):
            raise ValueError("`names` is for a csv with `header: false`; with a header the file names its columns")
        if self.names and len(set(self.names)) != len(self.names):
            raise ValueError("`names` holds a name twice")
        return self
