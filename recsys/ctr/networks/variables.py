"""A network's variables by name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

INIT_STD = 0.01

Floats = npt.NDArray[np.float32]


class Variables:
    """A network's variables by name, in order of creation, with initial values from one generator."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.dtype = dtype
        self.named: dict[str, Any] = {}
        self._random = np.random.default_rng([seed, 1])

    def add(self, name: str, value: Any) -> Any:
        """Create a trainable variable."""
        return self._keep(name, keras.Variable(value, dtype=self.dtype, trainable=True, name=name))

    def add_layer(self, prefix: str, layer: Any, inputs: int) -> Any:
        """Build a Keras layer for rows of `inputs` values and keep its variables as `prefix_name`."""
        layer.build((None, inputs))
        for variable in layer.weights:
            self._keep(f"{prefix}_{variable.name}", variable)
        return layer

    def normal(self, rows: int, columns: int) -> Floats:
        """Draw small normal values."""
        return self._random.normal(0.0, INIT_STD, (rows, columns)).astype(np.float32)

    def glorot(self, rows: int, columns: int) -> Floats:
        """Draw uniform values whose range follows from the shape (Glorot and Bengio, 2010)."""
        limit = np.sqrt(6.0 / (rows + columns))
        return self._random.uniform(-limit, limit, (rows, columns)).astype(np.float32)

    def _keep(self, name: str, variable: Any) -> Any:
        if name in self.named:
            raise ValueError(f"two layers of the network have a variable {name}")
        self.named[name] = variable
        return variable
