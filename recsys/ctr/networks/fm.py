"""Factorization machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from recsys.ctr.networks.base import Architecture, Logits

if TYPE_CHECKING:
    from recsys.ctr.networks.layers import Layers


class FM(Architecture):
    """Factorization machine: a weight per value, and the products of all pairs of embeddings.

    References
    ----------
    Rendle (2010), Factorization Machines, https://doi.org/10.1109/ICDM.2010.127
    """

    kind: Literal["fm"] = Field("fm", description="Name of the network")

    def build(self, layers: Layers) -> Logits:
        """Return first order + second order."""
        first, second = layers.first_order(), layers.factorization()
        return lambda inputs, *, training: first(inputs) + second(inputs)
