"""What a network is: settings of its own, and how it puts the shared layers together. Importable without TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from recsys.settings import PositiveInt, Section

if TYPE_CHECKING:
    from recsys.ctr.networks.embeddings import Inputs
    from recsys.ctr.networks.layers import MLP, Layers


class Logits(Protocol):
    """The forward pass: one logit per row, shape (n,)."""

    def __call__(self, inputs: Inputs, *, training: bool) -> Any:
        """Return the logits of a batch whose embeddings have been looked up."""
        ...


class Architecture(Section, ABC):
    """Base of every network: its fields are the network's settings, and `build` lays out its layers.

    A subclass overrides `kind` with its name as the only allowed value, and has one line in
    :mod:`recsys.ctr.networks.registry`. Its file must not import TensorFlow: the config reads it.
    """

    kind: str = Field(description="Name of the network")

    @abstractmethod
    def build(self, layers: Layers) -> Logits:
        """Create the layers and return the forward pass over them.

        The order in which layers are created fixes their initial weights: all draw from one generator.
        """


class DeepArchitecture(Architecture):
    """Base of networks with a multilayer perceptron: its settings, under the same names in all of them."""

    hidden: tuple[PositiveInt, ...] = Field((128, 64), description="Widths of the hidden layers")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Dropout after each hidden layer")
    batch_norm: bool = Field(False, description="Batch normalization before each activation")

    def mlp(self, layers: Layers) -> MLP:
        """Create the perceptron."""
        return layers.mlp(self.hidden, dropout=self.dropout, batch_norm=self.batch_norm)
