"""A network of its own file, as a user would add one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from recsys.ctr.networks.base import Architecture, Logits

if TYPE_CHECKING:
    from recsys.ctr.networks.layers import Layers


class Linear(Architecture):
    """Logistic regression."""

    kind: Literal["linear"] = Field("linear", description="Name of the network")
    scale: float = Field(1.0, gt=0, description="Factor of the logit")

    def build(self, layers: Layers) -> Logits:
        """Return the first order alone."""
        first = layers.first_order()
        return lambda inputs, *, training: self.scale * first(inputs)
