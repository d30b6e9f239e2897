"""What the front door needs beside the names in `recsys.__init__`: registered algorithms, and saved models."""

from __future__ import annotations

from typing import Any

from recsys.ctr import estimators
from recsys.ctr.files import filesystem
from recsys.ctr.fitted import CtrModel
from recsys.ctr.serving.bundle import CHECKSUMS
from recsys.retrieval import hybrid, registry


def algorithms() -> dict[str, Any]:
    """Every registered retriever and network by the name of its class."""
    retrievers = {registry.get(kind).__name__: registry.get(kind) for kind in registry.kinds()}
    return retrievers | {name: getattr(estimators, name) for name in estimators.names()}


def algorithm(name: str) -> Any:
    """Return an algorithm by the name of its class; None if no registry has it."""
    return algorithms().get(name)


def load(path: str) -> Any:
    """Load a model that was saved by its `save`: a retriever, a `Hybrid` or a ranker.

    Raises
    ------
    DataError
        If there is none, or it is damaged.
    """
    files, inner = filesystem(path.rstrip("/"))
    if files.get_file_info(f"{inner}/{CHECKSUMS}").is_file:
        return CtrModel.load(path)
    return hybrid.load(path)
