"""DeepFM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from recsys.ctr.networks.base import DeepArchitecture, Logits

if TYPE_CHECKING:
    from recsys.ctr.networks.layers import Layers


class DeepFM(DeepArchitecture):
    """DeepFM: a factorization machine and a multilayer perceptron over the same embeddings, trained together.

    References
    ----------
    Guo et al. (2017), DeepFM: A Factorization-Machine based Neural Network for CTR Prediction,
    https://arxiv.org/abs/1703.04247
    """

    kind: Literal["deepfm"] = Field("deepfm", description="Name of the network")

    def build(self, layers: Layers) -> Logits:
        """Return first order + second order + deep."""
        first, second, deep = layers.first_order(), layers.factorization(), self.mlp(layers)
        return lambda inputs, *, training: first(inputs) + second(inputs) + deep(inputs, training=training)
