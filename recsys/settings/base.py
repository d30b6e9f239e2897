"""Base of every settings class, and the types of their fields.

A settings class is a section of the config and the keyword arguments of the library alike: its defaults stand once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recsys.errors import ConfigError
from recsys.settings.sentences import problem, refusal

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


def _number(value: Any) -> Any:
    """A bare `on` or `yes` of YAML is true, which pydantic would take for 1."""
    if isinstance(value, bool):
        raise problem(f"{str(value).lower()} is not a number")
    return value


_Number = BeforeValidator(_number)

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Share = Annotated[float, Field(ge=0, le=1), _Number]
PositiveInt = Annotated[int, Field(ge=1), _Number]
PositiveFloat = Annotated[float, Field(gt=0), _Number]
NonNegativeInt = Annotated[int, Field(ge=0), _Number]
NonNegativeFloat = Annotated[float, Field(ge=0), _Number]


class _Refusing(ModelMetaclass):
    """Makes a class refuse keyword arguments with the project's error.

    It acts on calls alone: sections of a config are validated without one, and their mistakes are told with the key.
    """

    def __call__(cls, *args: Any, **values: Any) -> Any:
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            raise ConfigError(refusal(cls.__name__.removesuffix("Settings"), cls, error)) from None


class Section(BaseModel, metaclass=_Refusing):
    """Base of every section: unknown keys are refused, values are never coerced across kinds, nothing can be changed.

    Raises
    ------
    ConfigError
        If a keyword argument is unknown or impossible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False, validate_default=True)
