"""What a retriever and its model declare about themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from recsys.data import RetrieverFeature, Table, slice_of
from recsys.retrieval.tiers import TIERS, Tier
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt, Section


@dataclass(frozen=True)
class Feature:
    """What a retriever tells the ranker of a user and an item: the input `<name>_<what>`.

    Attributes
    ----------
    what : str
        `rank`: the item's rank among what the retriever proposed to the user, null for all else. Any other name is a
        pair feature, which the retriever's kernel computes for any user and item (`score` in most).
    comment : str
        What the column means.
    transform : {"zscore", "log_zscore"}
        How the ranker scales it unless its config says otherwise.

    Raises
    ------
    ValueError
        If `what` can't be a part of a column's name.
    """

    what: str
    comment: str
    transform: Literal["zscore", "log_zscore"] = "log_zscore"

    def __post_init__(self) -> None:
        """Check the name."""
        if not self.what.isidentifier():
            raise ValueError(f"a feature is called {self.what!r}; give it a name of letters, digits and underscores")


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


class Entry(Section):
    """What an entry of the config's `retrievers` says of an algorithm, apart from how it learns."""

    kind: str = Field(description="The algorithm")
    name: Identifier = Field(description="What its proposals, tables and features go under")
    k: PositiveInt = Field(100, description="Items proposed to each user")
    weight: NonNegativeFloat = Field(1.0, description="Weight in the union of the retrievers")
    serves: tuple[Tier, ...] = Field(
        TIERS,
        description="Users that it proposes to, by their events: `new` (none), `1-4`, `5+`; all by default",
        min_length=1,
    )

    tables: ClassVar[Mapping[str, Table]] = {}
    """Contracts of the model's frames, by frame; their partitions are `model_version`, `as_of_key` or `retriever`."""
    features: ClassVar[tuple[Feature, ...]] = ()
    is_baseline: ClassVar[bool] = False
    """Whether evaluation compares with its list alone, and unknown users are given it."""
    not_fitted: ClassVar[frozenset[str]] = frozenset({"name", "k", "weight", "serves"})
    """Fields that decide what is proposed, not what is learned."""

    def fit_settings(self) -> dict[str, Any]:
        """What decides what is learned, as plain values."""
        return self.model_dump(mode="json", exclude=set(self.not_fitted))

    def slice(self, table: Table, *, as_of: datetime, version: str) -> dict[str, Any]:
        """Which slice of one of its tables a run writes: the value of each partition column."""
        values = {"model_version": version, **slice_of(as_of), "retriever": self.name}
        return {column: values[column] for column in table.partitions}

    @property
    def only_from(self) -> tuple[str, ...]:
        """Types of events on whose items alone it proposes anything; empty for one that may propose any item.

        Where such events mark items as seen, and these are excluded, it has nothing to propose.
        """
        return ()

    @property
    def offered(self) -> tuple[RetrieverFeature, ...]:
        """What it offers to the ranker, under its name."""
        return tuple(RetrieverFeature(self.name, one.what, one.comment, one.transform) for one in self.features)

    @property
    def of_pairs(self) -> tuple[RetrieverFeature, ...]:
        """Those of them that it computes for any user and item."""
        return tuple(one for one in self.offered if one.of_pair)

    @property
    def versioned(self) -> bool:
        """Whether its fits are versions, which a row of `models` makes visible."""
        return any("model_version" in table.partitions for table in self.tables.values())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show what was set."""
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set - {"kind"})
