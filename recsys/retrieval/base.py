"""What a retriever is: settings that fit a log, and the model that comes of it, which proposes items to users.

A new algorithm is one folder with a subclass of `Retriever` and one of `Model`, a kernel and the contracts of its
tables, and one line in `recsys.retrieval.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.callers import AnyFrame
from recsys.data.log import Log
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.errors import ConfigError
from recsys.retrieval.audience import AnyUsers, Audience
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Entry, ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.frames import Eligible, distinct_pairs, with_columns
from recsys.retrieval.kernels import Kernel
from recsys.retrieval.reasons import Case
from recsys.retrieval.saved import write
from recsys.retrieval.settings import SignalSettings
from recsys.retrieval.training import TrainingData

R = TypeVar("R", bound="Retriever")


class Retriever(Entry, ABC):
    """Settings of an algorithm: an entry of the config's `retrievers`, and the keyword arguments of the library.

    A subclass declares `kind` and gives `name`, `k` and `weight` their usual values.
    """

    model: ClassVar[type[Model[Any]]]

    def fit(
        self,
        log: Log,
        *,
        signal: SignalSettings | None = None,
        interactions: DataFrame | None = None,
        broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
    ) -> Model[Any]:
        """Learn from a log.

        Parameters
        ----------
        log : Log
            Only what lies before its `as_of` counts.
        signal : SignalSettings, optional
            How much each event counts; by default as in the config.
        interactions : DataFrame, optional
            `recsys.retrieval.interactions.interactions` of this log and signal, where several retrievers share them.
        broadcast_limit_mb : float
            Largest thing that is broadcast.

        Raises
        ------
        NothingToDo
            If there is too little to learn from.
        """
        return self.learn(TrainingData(log.indexed(), signal or SignalSettings(), interactions, broadcast_limit_mb))

    @abstractmethod
    def learn(self, data: TrainingData) -> Model[Any]:
        """Learn from training data: what `fit` calls."""

    def drawn(self, draw: Draw) -> Self:
        """Return a variant for a search: the same, but for the settings that are worth searching.

        Raises
        ------
        ConfigError
            If there are none.
        """
        raise ConfigError(f"{self.name}: retrievers of kind {self.kind} have no settings that are searched")

    def cheaper(self, share: float) -> Self:
        """Return a variant that costs about this share of a fit, for a first look; itself, where there is none."""
        return self


@dataclass(frozen=True)
class Model(ABC, Generic[R]):
    """A fitted retriever.

    Attributes
    ----------
    settings : Retriever
        What it was fitted with.
    frames : mapping of str to DataFrame
        All that was learned: one frame for each table of the retriever.
    audience : Audience, optional
        Who may be recommended to. Needed for lists alone.
    metrics : mapping of str to float
        Figures of the fit.
    broadcast_limit_mb : float
        Largest thing that is broadcast.
    """

    settings: R
    frames: Mapping[str, DataFrame]
    audience: Audience | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB

    item_frames: ClassVar[Mapping[str, ItemFrame]]

    def recommend(
        self, users: AnyUsers | None = None, k: int = 20, exclude_seen: bool = True, items: AnyFrame | None = None
    ) -> DataFrame:
        """Recommend items.

        Parameters
        ----------
        users : DataFrame, pandas.DataFrame or sequence, optional
            A frame with the log's user column, or a list of ids; everybody in the log by default. Users that the model
            knows nothing of may come back without rows.
        k : int
            Most rows per user.
        exclude_seen : bool
            Leave out what a user has touched in the log.
        items : DataFrame or pandas.DataFrame, optional
            The items that may be recommended: the log's item column and, where there is one, `available`.

        Returns
        -------
        DataFrame
            `user_id, item_id, rank, score` with the caller's types of ids; ranks are dense from 1, equal scores are
            ordered by item id.
        """
        check_k(k)
        audience = self.known_audience()
        wanted = audience.users(users)
        among = self if items is None else self.among(audience.eligible(items))
        found = among.lists(wanted, k=k, exclude=audience.seen if exclude_seen else None)
        return audience.ids.restore(found.select("user_id", "item_id", "rank", "score"))

    @abstractmethod
    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return `user_id, item_id, rank, score`, at most `k` rows per user, by joins: for any number of items.

        Ranks are dense from 1; equal scores are ordered by item id. `because_item_id` may stand beside them: the item
        of the user's past that led there.

        Parameters
        ----------
        users : DataFrame
            Distinct `user_id`.
        exclude : DataFrame, optional
            `user_id, item_id` pairs that must not come back.
        """

    def score(self, pairs: AnyFrame) -> DataFrame:
        """Compute the model's pair features for any users and items, proposed or not, seen or not.

        Parameters
        ----------
        pairs : DataFrame or pandas.DataFrame
            The log's user column and its item column. Other columns are carried along.

        Returns
        -------
        DataFrame
            The rows of `pairs`, with `user_id, item_id` of the caller's types and a column `<name>_<what>` for each
            pair feature: null where the model can't say, as for users that it does not know.

        Raises
        ------
        DataError
            If the frame lacks a column.
        """
        audience = self.known_audience()
        given = audience.adopted(pairs)
        return audience.ids.restore(with_columns(given, self.named_features(distinct_pairs(given))))

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Return `user_id, item_id` and the pair features by their `what`, by joins: for any number of items.

        The figures are those of the kernel's `score`.

        Parameters
        ----------
        pairs : DataFrame
            Distinct `user_id, item_id`, not null.
        """
        return pairs.select("user_id", "item_id")

    def named_features(self, pairs: DataFrame) -> DataFrame:
        """Return `pair_features` with the columns called `<name>_<what>`."""
        found, features = self.pair_features(pairs), self.settings.of_pairs
        named = (F.col(one.what).cast("double").alias(one.column.name) for one in features)
        return found.select("user_id", "item_id", *named)

    @abstractmethod
    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> Kernel:
        """Make the kernel that gives the same rows within a worker; with pair features it is a `PairKernel`.

        Parameters
        ----------
        catalog : Catalog
            The positions of items.
        tables : mapping of str to Arrow table
            The columns of `item_frames`, brought to the driver.
        """

    def ready(self, kernel: Kernel) -> Kernel:
        """Add to its kernel what only proposals need and takes long to make; by default nothing."""
        return kernel

    def user_columns(self) -> DataFrame | None:
        """What the kernel needs to know of users: `user_id` and columns that `Batch` has as `<retriever>:<column>`."""
        return None

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Say why an item was proposed.

        Parameters
        ----------
        lists : DataFrame
            `user_id, item_id, user_segment, because_item_id` and more; `because_title` and `strongest` tell of the
            user's own events on that item: see `recsys.retrieval.reasons`.

        Returns
        -------
        lists, cases
            The rows, with the evidence that the cases need joined on, and the cases, the first that holds first.
        """
        return lists, ()

    def among(self, eligible: Eligible | None) -> Self:
        """Return the model that proposes eligible items alone; what is not eligible may still lead to others."""
        if eligible is None:
            return self
        kept = {name: eligible.of(self.frames[name], part.items[-1]) for name, part in self.item_frames.items()}
        return replace(self, frames={**self.frames, **kept})

    def costs(self) -> Iterator[DataFrame]:
        """What each frame that goes to the workers takes there: `bytes` of each row."""
        for name, part in self.item_frames.items():
            yield self.frames[name].select(F.expr(part.row_bytes).alias("bytes"))

    def known_audience(self) -> Audience:
        """Return the audience.

        Raises
        ------
        ValueError
            If the model was made without one.
        """
        if self.audience is None:
            raise ValueError(f"the model of {self.settings.name} was made without an audience")
        return self.audience

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the model to a directory; `recsys.load` reads it.

        Raises
        ------
        DataError
            If there is a model already and `overwrite` is not set.
        """
        audience = self.known_audience()
        plain, frames = self.parts()
        write(path, {"models": [plain], **audience.plain()}, {**frames, **audience.frames()}, overwrite=overwrite)

    def parts(self) -> tuple[dict[str, Any], dict[str, DataFrame]]:
        """What is written of the model: its settings and figures as plain values, and its frames by their place."""
        plain = {"retriever": self.settings.model_dump(mode="json"), "metrics": dict(self.metrics)}
        return plain, {f"{self.settings.name}/{name}": frame for name, frame in self.frames.items()}


def check_k(k: int) -> None:
    """Refuse a list without room.

    Raises
    ------
    ConfigError
        If `k` is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; ask for at least one item")
