"""How ranks exchange values, behind a seam: a single rank, or Horovod."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Communicator(Protocol):
    """The few collective operations that training needs. All ranks call them in the same order."""

    rank: int
    size: int
    local_size: int

    def gather(self, array: Array) -> list[Array]:
        """Return the arrays of all ranks, in order of rank, on every rank."""
        ...

    def average(self, gradients: list[Any]) -> list[Any]:
        """Average gradients over ranks (graph mode; IndexedSlices stay sparse)."""
        ...

    def broadcast(self, variables: list[Any]) -> None:
        """Give every rank the values of rank 0."""
        ...


class Alone:
    """One rank, in this process."""

    rank = 0
    size = 1
    local_size = 1

    def gather(self, array: Array) -> list[Array]:
        """Return the array itself."""
        return [array]

    def average(self, gradients: list[Any]) -> list[Any]:
        """Return the gradients themselves."""
        return gradients

    def broadcast(self, variables: list[Any]) -> None:
        """Do nothing."""


class Horovod:
    """A rank of a Horovod job. Created inside the rank, after `hvd.init()`."""

    def __init__(self) -> None:
        import horovod.tensorflow as hvd

        self._hvd = hvd
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        self.local_size: int = hvd.local_size()

    def gather(self, array: Array) -> list[Array]:
        """Return the arrays of all ranks; their lengths may differ."""
        return [np.asarray(part) for part in self._hvd.allgather_object(array)]

    def average(self, gradients: list[Any]) -> list[Any]:
        """Average gradients. Sparse ones must not repeat a row: Horovod would send it twice."""
        return [self._hvd.allreduce(gradient, op=self._hvd.Average) for gradient in gradients]

    def broadcast(self, variables: list[Any]) -> None:
        """Give every rank the values of rank 0."""
        self._hvd.broadcast_variables(variables, root_rank=0)
