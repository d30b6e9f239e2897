"""The retrievers that there are. A new one is one line in `BUILT_IN` or `OPTIONAL`; a plug-in calls `register`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, TypeVar

from recsys import data
from recsys.data import AttributeFeature, RetrieverFeature, Table
from recsys.errors import ConfigError
from recsys.retrieval.base import Retriever
from recsys.settings import nearest

BUILT_IN = (
    "recsys.retrieval.als.retriever.Als",
    "recsys.retrieval.item_item.retriever.ItemItem",
    "recsys.retrieval.popular.retriever.Popular",
)
"""Classes by their dotted names, loaded when first needed. With their defaults they are the config's default list."""

OPTIONAL = (
    "recsys.retrieval.buy_again.retriever.BuyAgain",
    "recsys.retrieval.ease.retriever.Ease",
    "recsys.retrieval.user_user.retriever.UserUser",
    "recsys.retrieval.ordered.retriever.Ordered",
    "recsys.retrieval.item2vec.retriever.Item2Vec",
    "recsys.retrieval.content.retriever.Content",
    "recsys.retrieval.clusters.retriever.Clusters",
    "recsys.retrieval.random_items.retriever.RandomItems",
    "recsys.retrieval.rules.retriever.AssociationRules",
)
"""Classes that only some data calls for: known, but not in the default list."""

RANKER = "ctr"
"""Kind of the ranker's rows in `models`."""
FUSION = "fusion"
"""Kind of the rows in `models` that hold the weights of a union."""

_SLICED_BY = {"model_version", data.AS_OF_KEY.name, "retriever"}
_registered: dict[str, type[Retriever]] = {}

C = TypeVar("C", bound=Retriever)


def register(cls: type[C]) -> type[C]:
    """Make a class of retrievers known under its `kind`; usable as a decorator.

    Raises
    ------
    ConfigError
        If another class has the kind, or a table is partitioned by something that a run can't name.
    """
    kind = cls.model_fields["kind"].default
    if kind in (RANKER, FUSION):
        raise ConfigError(f"retriever kind {kind}: other rows of `models` are called so; give it another kind")
    taken = _registered.get(kind)
    if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ConfigError(f"retriever kind {kind}: {taken.__module__}.{taken.__qualname__} has it already")
    for table in cls.tables.values():
        _check_partitions(table, kind)
    _registered[kind] = cls
    return cls


def _check_partitions(table: Table, kind: str) -> None:
    if "as_of" in table.partitions:
        key = data.AS_OF_KEY.name
        raise ConfigError(
            f"table {table.name} of {kind}: partitions by as_of mean other instants in other time zones; give it the "
            f"column {key} (recsys.data.AS_OF_KEY) and partition it by {key} instead"
        )
    if not set(table.partitions) <= _SLICED_BY:
        raise ConfigError(f"table {table.name} of {kind}: partitions must be among {', '.join(sorted(_SLICED_BY))}")


def kinds() -> tuple[str, ...]:
    """Every kind, the project's own first."""
    own = [_load(dotted).model_fields["kind"].default for dotted in (*BUILT_IN, *OPTIONAL)]
    return (*own, *(kind for kind in _registered if kind not in own))


def get(kind: str) -> type[Retriever]:
    """Return the class of a kind.

    Raises
    ------
    ConfigError
        With the nearest kind, if there is none.
    """
    known = kinds()
    if kind not in known:
        raise ConfigError(f"unknown kind of retriever {kind}; {nearest(kind, known, 'known kinds:')}")
    return _registered[kind]


def defaults() -> tuple[Retriever, ...]:
    """The built-in retrievers as they are by default."""
    return tuple(_load(dotted).model_validate({}) for dotted in BUILT_IN)


def tables() -> tuple[Table, ...]:
    """Every table of every kind."""
    found = {table.name: table for kind in kinds() for table in get(kind).tables.values()}
    return tuple(found.values())


def features(retrievers: Iterable[Retriever]) -> tuple[RetrieverFeature, ...]:
    """The ranker's inputs that retrievers bring, each under its retriever's name."""
    return tuple(feature for retriever in retrievers for feature in retriever.offered)


def examples_table(retrievers: Iterable[Retriever], attributes: Sequence[AttributeFeature] = ()) -> Table:
    """Return the contract of `ctr_examples` with the features of these retrievers, and with these attributes."""
    return data.ctr_examples(
        [feature.column for feature in features(retrievers)], [attribute.column for attribute in attributes]
    )


def baseline_ranks(retrievers: Sequence[Retriever]) -> list[str]:
    """Columns of `ctr_examples` with the rank that the baseline gave."""
    found = baseline(retrievers)
    return [f"{found.name}_rank"] if found and any(feature.what == "rank" for feature in found.features) else []


def weights(retrievers: Iterable[Retriever]) -> list[tuple[str, str, float]]:
    """Name, kind and weight of each: what decides the features, and the union by the config."""
    return [(retriever.name, retriever.kind, retriever.weight) for retriever in retrievers]


def all_tables() -> tuple[Table, ...]:
    """Every table of the project: the contracts of `recsys.data`, with what the default retrievers add to them."""
    at = data.ALL.index(data.CANDIDATES)
    examples = examples_table(defaults())
    mine = (*data.ALL[:at], *tables(), *data.ALL[at:])
    return tuple(examples if table is data.CTR_EXAMPLES else table for table in mine)


def fit_settings(retrievers: Iterable[Retriever]) -> list[tuple[str, dict[str, Any]]]:
    """What decides what retrievers learn, and under which name."""
    return [(retriever.name, retriever.fit_settings()) for retriever in retrievers]


def baseline(retrievers: Iterable[Retriever]) -> Retriever | None:
    """Return the first retriever that others are compared with."""
    return next((retriever for retriever in retrievers if retriever.is_baseline), None)


def _load(dotted: str) -> type[Retriever]:
    module, _, name = dotted.rpartition(".")
    found: type[Retriever] = register(getattr(import_module(module), name))
    return found
