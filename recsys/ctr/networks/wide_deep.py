"""Wide & Deep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from recsys.ctr.networks.base import DeepArchitecture, Logits

if TYPE_CHECKING:
    from recsys.ctr.networks.layers import Layers


class WideDeep(DeepArchitecture):
    """Wide & Deep: a linear model and a multilayer perceptron, trained together.

    References
    ----------
    Cheng et al. (2016), Wide & Deep Learning for Recommender Systems, https://arxiv.org/abs/1606.07792
    """

    kind: Literal["wide_deep"] = Field("wide_deep", description="Name of the network")

    def build(self, layers: Layers) -> Logits:
        """Return wide + deep."""
        wide, deep = layers.first_order(), self.mlp(layers)
        return lambda inputs, *, training: wide(inputs) + deep(inputs, training=training)
