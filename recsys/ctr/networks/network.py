"""A network in memory: what an architecture built, with its variables by name."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ctr.inputs.layout import Layout
from recsys.ctr.networks.base import Architecture
from recsys.ctr.networks.layers import Layers
from recsys.errors import ConfigError

Weights = dict[str, npt.NDArray[Any]]


class Network:
    """A network over the matrices of a :class:`Layout`.

    Parameters
    ----------
    architecture : Architecture
        Which network, with its settings.
    seed : int
        Seed of the initial weights.
    bias : float
        Initial intercept: the log odds of the base rate.
    dropout_seed : int
        Seed of dropout, which may differ by rank.
    dtype : str
        Of variables and arithmetic: `float32` to train, `float64` where a score must not depend on its batch.
    l2 : float, optional
        L2 on embeddings whose input has none of its own; None for no penalty at all.
    """

    def __init__(
        self,
        architecture: Architecture,
        layout: Layout,
        *,
        seed: int = 0,
        bias: float = 0.0,
        dropout_seed: int = 0,
        dtype: str = "float32",
        l2: float | None = None,
    ) -> None:
        layers = Layers(layout, seed=seed, bias=bias, dropout_seed=dropout_seed, dtype=dtype, l2=l2)
        self.layout = layout
        self._embeddings = layers.embeddings()
        self._forward = architecture.build(layers)
        self._named = layers.variables.named

    @property
    def embeddings(self) -> list[Any]:
        """The embedding tables: Keras variables of which a batch touches a few rows."""
        return self._embeddings.tables

    @property
    def dense_variables(self) -> list[Any]:
        """Trainable Keras variables other than embeddings, in a fixed order."""
        tables = {id(variable) for variable in self.embeddings}
        return [v for v in self._named.values() if v.trainable and id(v) not in tables]

    @property
    def variables(self) -> list[Any]:
        """All variables that are saved, as `tf.Variable`, in a fixed order."""
        return [variable.value for variable in self._named.values()]

    @property
    def averages(self) -> list[Any]:
        """Variables that batches move without a gradient (batch normalization); ranks must average them."""
        return [variable.value for variable in self._named.values() if not variable.trainable]

    def logits(self, ids: Any, dense: Any, *, training: bool) -> Any:
        """Return the logits, shape (n,), of ids (n, layout.ids) and numbers (n, layout.dense)."""
        return self._forward(self._embeddings(ids, dense), training=training)

    def penalized(self, ids: Any, dense: Any) -> tuple[Any, Any]:
        """Return the logits of a batch to learn from and the L2 of the embeddings that each row uses, both (n,)."""
        inputs = self._embeddings(ids, dense)
        return self._forward(inputs, training=True), inputs.penalty

    def weights(self) -> Weights:
        """Return a copy of every variable by name."""
        return {name: np.array(variable.value.numpy()) for name, variable in self._named.items()}

    def load(self, weights: Weights) -> None:
        """Set every variable.

        Raises
        ------
        ConfigError
            If names or shapes are not those of this network.
        """
        if set(weights) != set(self._named):
            differing = sorted(set(weights) ^ set(self._named))
            raise ConfigError(f"the weights belong to another network: {', '.join(differing)} are in only one of them")
        for name, variable in self._named.items():
            if tuple(variable.shape) != weights[name].shape:
                raise ConfigError(
                    f"weight {name} has shape {weights[name].shape}, the network needs {tuple(variable.shape)}"
                )
            variable.assign(weights[name])


def checksum(weights: Weights) -> str:
    """Return the SHA-256 over names, shapes and bits of all weights."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name}{weights[name].shape}{weights[name].dtype}".encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
