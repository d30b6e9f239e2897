"""What a field can be told to hold beside its type: one of some names, no value twice, entries of a map, a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from recsys.settings.names import nearest
from recsys.settings.sentences import problem


@dataclass(frozen=True)
class OneOf:
    """Marks a text that is one of some names: `Annotated[str, OneOf(("view", "click"), "event type")]`.

    Another one is refused with the nearest.

    Attributes
    ----------
    names : tuple of str
    what : str
        What the names are of, in the singular.
    """

    names: tuple[str, ...]
    what: str

    def check(self, value: str) -> str:
        """Return the value.

        Raises
        ------
        PydanticCustomError
            If it is none of the names.
        """
        if value not in self.names:
            raise problem(f"there is no {self.what} {value!r}; {nearest(value, self.names, 'known are')}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "enum": list(self.names)}


@dataclass(frozen=True)
class Unique:
    """Marks a list that holds no value twice."""

    def check(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the values.

        Raises
        ------
        PydanticCustomError
            With the first value that stands there again.
        """
        for place, value in enumerate(values):
            if value in values[:place]:
                raise problem(f"{value} is there twice; name it once")
        return values

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "uniqueItems": True}


@dataclass(frozen=True)
class Entries:
    """Marks a map whose entries a layer of the config may remove by null, so that the schema of files allows it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        return {**schema, "additionalProperties": {"anyOf": [schema["additionalProperties"], {"type": "null"}]}}


def _text(value: Any) -> Any:
    """YAML reads a bare date as one."""
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def instant(text: str) -> datetime:
    """Return the instant of a `Day`.

    Raises
    ------
    ValueError
        If it is neither a date nor an ISO 8601 instant.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _day(value: str) -> str:
    try:
        instant(value)
    except (ValueError, OverflowError):
        raise problem(f"{value!r} is not a date; write for example 1990-01-01") from None
    return value


Day = Annotated[str, BeforeValidator(_text), AfterValidator(_day)]
"""A date, `2018-09-01`, or an instant; UTC where it has no offset."""
