"""An object for Python workers where there is no broadcast: on Spark Connect it travels as a file of the session."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_PREFIX = "recsys-"
_KEPT = 4
"""Objects that a worker keeps at once; whatever was used least lately is read again when it is needed."""


class Shared(Protocol[T_co]):
    """What `recsys.spark.share` returns; it pickles, and is sent along with a function."""

    @property
    def value(self) -> T_co:
        """The object, on a worker."""
        ...


@dataclass(frozen=True)
class SharedFile(Generic[T]):
    """An object that was pickled to a file of the session.

    Attributes
    ----------
    name : str
        Name of the file, which follows from its content.
    """

    name: str

    @property
    def value(self) -> T:
        """The object; a worker reads the file once."""
        found: T = _read(self.name)
        return found


def shared_file(value: T, add: Callable[[str], None]) -> SharedFile[T]:
    """Pickle an object to a file, and add it to a session; the file here is removed once it is added.

    Parameters
    ----------
    add : function
        Adds the file at a path to the session, under its name. The session removes it when it ends.
    """
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    name = f"{_PREFIX}{hashlib.sha256(content).hexdigest()}"
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        add(str(path))
    return SharedFile(name)


@lru_cache(maxsize=_KEPT)
def _read(name: str) -> Any:
    """Read a file of the session: only what this module wrote, as its name has the hash of the content."""
    from pyspark import SparkFiles

    content = Path(SparkFiles.get(name)).read_bytes()
    if f"{_PREFIX}{hashlib.sha256(content).hexdigest()}" != name:
        raise ValueError(f"the session's file {name} is not what was shared")
    return pickle.loads(content)
