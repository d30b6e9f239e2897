"""Metrics of each epoch for TensorBoard."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Board:
    """Writes scalars to a directory; does nothing if there is none."""

    def __init__(self, directory: str | None) -> None:
        self._writer: Any = tf.summary.create_file_writer(directory) if directory else None

    def write(self, epoch: int, figures: dict[str, float]) -> None:
        """Write the metrics of an epoch."""
        if self._writer is None:
            return
        with self._writer.as_default(step=epoch):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
