"""Resolves files and flags into one frozen `Config`; every mistake is one sentence with the file and the key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from recsys.config.mapped import require_permitted, require_small
from recsys.config.renamed import moved
from recsys.config.root import Config
from recsys.data import stamp
from recsys.errors import ConfigError
from recsys.ingest.dataset import Dataset
from recsys.progress import note
from recsys.secrets import masked, names_secret
from recsys.settings import CONFLICT, mistakes, sentence, with_layer

M = TypeVar("M", bound=BaseModel)


def load_config(
    files: Sequence[str | Path] = (), *, dataset: str | Path | None = None, overrides: Iterable[str] = ()
) -> Config:
    """Resolve a config: defaults, then the dataset's settings, then the files in order, then `key=value` overrides.

    Each layer changes what it names, down to the entries of maps, and null removes an entry; lists are replaced.

    Raises
    ------
    ConfigError
        Naming the file (or flag) and the key, what was found and what is allowed.
    """
    layers = _Layers()
    if dataset is not None:
        mapping = load_dataset(dataset)
        settings = f"{dataset}, settings"
        require_permitted(mapping.settings, where=str(dataset))
        layers.add(mapping.settings, where=settings)
        layers.values["dataset"] = mapping.model_dump()
    for file in files:
        layers.add(_expanded(read_yaml(file)), where=str(file))
    for override in overrides:
        where = f"--set {override.partition('=')[0]}"
        layers.add(_expanded(_parse_override(override)), where=where)
    return layers.resolved()


def load_dataset(file: str | Path) -> Dataset:
    """Read a dataset mapping.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or does not fit the mapping's form.
    """
    require_small(file)
    return _build(Dataset, read_yaml(file), where=str(file))


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping safely (no tags, no objects)."""
    path = Path(file)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: can't be read as text ({error.__class__.__name__}); give a UTF-8 YAML file"
        ) from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise ConfigError(f"{file}, line {line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    except ValueError as error:
        raise ConfigError(f"{file}: a value looks like a date that does not exist ({error}); fix or quote it") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: expected keys and values at the top, found a {type(loaded).__name__}")
    return loaded


def parse_as_of(text: str) -> datetime:
    """Parse an instant (`2018-09-01`, `2018-09-01T13:30:00Z`) as UTC.

    Raises
    ------
    ConfigError
        If it is neither a date nor an ISO 8601 instant.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"--as-of {text}: not a date or an instant; write 2018-09-01 or 2018-09-01T13:30:00Z"
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def version_of(kind: str, as_of: datetime, *parts: BaseModel | Mapping[str, Any] | str) -> str:
    """Name a model version after its kind, its instant and the settings that decide it."""
    return f"{kind}-{stamp(as_of)}-{digest([_plain(part) for part in parts])[:8]}"


def config_json(config: Config) -> str:
    """The resolved config as JSON, with all that may be a secret masked."""
    return json.dumps(masked(config.model_dump(mode="json")), sort_keys=True)


def _plain(part: BaseModel | Mapping[str, Any] | str) -> Any:
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part


def digest(value: Any) -> str:
    """SHA-256 of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _parse_override(text: str) -> dict[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, such as rank.batch_size=4096")
    *sections, last = _path(key.strip())
    try:
        # Spark settings are strings, but null removes one.
        plain = not value or (sections == ["spark", "conf"] and value != "null")
        parsed = value if plain else yaml.safe_load(value)
    except ValueError as error:
        raise ConfigError(f"--set {key}: the value looks like a date that does not exist ({error})") from None
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {key}: the value is not valid YAML; quote it if it holds special characters"
        ) from None
    layer: dict[str, Any] = {last: parsed}
    for section in reversed(sections):
        layer = {section: layer}
    return layer


def _path(key: str) -> list[str]:
    """Split a key at its dots; what follows spark.conf is one key of Spark, dots included."""
    sparks = key.removeprefix("spark.conf.")
    return key.split(".") if sparks == key else ["spark", "conf", sparks]


def _expanded(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Write short forms out: `warehouse: DIR` stands for `warehouse: {path: DIR}`."""
    short = isinstance(layer.get("warehouse"), str)
    return {**layer, "warehouse": {"path": layer["warehouse"]}} if short else dict(layer)


@dataclass
class _Layers:
    """Values from files and flags, the later ones over the earlier.

    Attributes
    ----------
    values : dict
        All values so far.
    conflicting : str, optional
        The layer since which values can't be together; a later one may still change that.
    """

    values: dict[str, Any] = field(default_factory=dict)
    conflicting: str | None = None

    def add(self, layer: Mapping[str, Any], *, where: str) -> None:
        """Add a layer and validate the result, so that a mistake is reported with the file that holds it."""
        if "dataset" in layer:
            raise ConfigError(f"{where}: key dataset is not a config key; give the mapping with --dataset FILE")
        try:
            self.values = with_layer(Config, self.values, layer)
        except PydanticCustomError as error:  # an entry that is not there
            raise ConfigError(f"{where}: {error}") from None
        try:
            Config.model_validate(self.values)
        except ValidationError as error:
            if {detail["type"] for detail in mistakes(error)} != {CONFLICT}:
                raise _refused(Config, error, where) from None
            self.conflicting = self.conflicting or where
        else:
            self.conflicting = None

    def resolved(self) -> Config:
        """Return the config of all layers, and note what is odd about it."""
        config = _build(Config, self.values, where=self.conflicting or "the resolved config")
        for remark in config.remarks():
            note(remark)
        return config


def _build(model: type[M], values: Mapping[str, Any], *, where: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refused(model, error, where) from None


def _refused(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    return ConfigError(f"{where}: " + "; ".join(_sentence(model, detail) for detail in mistakes(error)[:3]))


def _sentence(model: type[BaseModel], detail: Any) -> str:
    path = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden" and model is Config:
        elsewhere = moved(path, detail["input"])
        if elsewhere:
            return elsewhere
    # Spark settings may be credentials.
    secret = path[:2] == ["spark", "conf"] or any(names_secret(part) for part in path)
    return sentence(model, detail, secret=secret)
