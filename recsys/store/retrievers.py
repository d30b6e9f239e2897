"""Fitted retrievers in the warehouse: their tables' slices, and the row of `models` that makes a version visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recsys import data
from recsys.config import version_of
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.progress import current
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.settings import SignalSettings
from recsys.store.models import stamped, version_row
from recsys.store.warehouse import Warehouse


@dataclass(frozen=True)
class Stored:
    """Where a retriever's fit for an instant lies.

    Attributes
    ----------
    warehouse : Warehouse
    retriever : Retriever
    as_of : datetime
    signal : SignalSettings
        It decides the fit too.
    broadcast_limit_mb : float
        Largest thing that the model may broadcast.
    """

    warehouse: Warehouse
    retriever: Retriever
    as_of: datetime
    signal: SignalSettings
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB

    @property
    def version(self) -> str:
        """Name of the fit."""
        return version_of(self.retriever.name, self.as_of, self.retriever.fit_settings(), self.signal)

    def where(self, table: data.Table) -> dict[str, Any]:
        """The slice of one of its tables."""
        return self.retriever.slice(table, as_of=self.as_of, version=self.version)

    def clear(self) -> None:
        """Remove the fit: its row of `models` first."""
        if self.retriever.versioned:
            self.warehouse.clear(data.MODELS, where={"model_version": self.version})
        for table in self.retriever.tables.values():
            self.warehouse.clear(table, where=self.where(table))

    def write(self, model: Model[Any], *, config: str) -> None:
        """Replace the slices of its tables; a version becomes visible last.

        Parameters
        ----------
        config : str
            Resolved config as JSON.
        """
        if self.retriever.versioned:
            # A version is visible while its row is there: an earlier fit of it is hidden before its frames change.
            self.warehouse.clear(data.MODELS, where={"model_version": self.version})
        for name, table in self.retriever.tables.items():
            where = self.where(table)
            self.warehouse.replace(table, stamped(model.frames[name], **where), where=where)
        if self.retriever.versioned:
            row = version_row(
                self.warehouse.spark,
                version=self.version,
                kind=self.retriever.kind,
                as_of=self.as_of,
                config=config,
                metrics=model.metrics,
                data_versions=current().reads,
            )
            self.warehouse.merge(data.MODELS, row, update=True)

    def read(self, audience: Audience | None = None) -> Model[Any] | None:
        """Return the model, or None where there is no fit."""
        if self.retriever.versioned:
            visible = self.warehouse.read(data.MODELS, where={"model_version": self.version}, required=False)
            if visible.isEmpty():
                return None
        frames = {
            name: self.warehouse.read(table, where=self.where(table), required=False)
            for name, table in self.retriever.tables.items()
        }
        if not self.retriever.versioned and all(frame.isEmpty() for frame in frames.values()):
            return None
        return self.retriever.model(self.retriever, frames, audience, broadcast_limit_mb=self.broadcast_limit_mb)


def read_models(
    warehouse: Warehouse,
    retrievers: Sequence[Retriever],
    *,
    as_of: datetime,
    signal: SignalSettings,
    audience: Audience | None = None,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> list[Model[Any]]:
    """Return the models of the retrievers that have a fit for this instant and these settings."""
    stored = (Stored(warehouse, retriever, as_of, signal, broadcast_limit_mb) for retriever in retrievers)
    found = [one.read(audience) for one in stored]
    return [model for model in found if model is not None]
