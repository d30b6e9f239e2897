"""What a retriever and its model declare about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Feature:
    """What the ranker learns of an item that a retriever proposed: the input `<name>_<what>`.

    Attributes
    ----------
    what : {"rank", "score"}
    comment : str
        What the column means.
    transform : {"zscore", "log_zscore"}
        How the ranker scales it unless its config says otherwise.
    """

    what: Literal["rank", "score"]
    comment: str
    transform: Literal["zscore", "log_zscore"] = "log_zscore"


@dataclass(frozen=True)
class ItemFrame:
    """A frame of a model that holds items: it is restricted to eligible ones, and brought to the workers.

    Attributes
    ----------
    columns : tuple of str
        What the kernel is made of.
    row_bytes : str
        SQL expression for what a row costs in memory.
    items : tuple of str
        The columns that hold item ids; the last one is the item that is proposed.
    """

    columns: tuple[str, ...]
    row_bytes: str
    items: tuple[str, ...] = ("item_id",)
