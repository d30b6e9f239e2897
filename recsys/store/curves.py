"""Reads training curves from TensorBoard's log files."""

from __future__ import annotations

from pathlib import Path

Curves = dict[str, list[tuple[int, float]]]


def training_curves(path: str) -> Curves:
    """Read every scalar of a log directory: name to (epoch, value); empty if there is no such directory.

    Only a local directory is read; for other file systems, use TensorBoard itself.
    """
    if "://" in path or not Path(path).is_dir():
        return {}
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    found: dict[str, dict[int, float]] = {}
    for directory in sorted({file.parent for file in Path(path).rglob("*tfevents*")}):
        log = event_accumulator.EventAccumulator(str(directory), size_guidance={"tensors": 0, "scalars": 0})
        log.Reload()
        for name in log.Tags()["scalars"]:
            found.setdefault(name, {}).update({event.step: float(event.value) for event in log.Scalars(name)})
        for name in log.Tags()["tensors"]:
            values = {event.step: tensor_util.make_ndarray(event.tensor_proto) for event in log.Tensors(name)}
            found.setdefault(name, {}).update({step: float(v) for step, v in values.items() if v.ndim == 0})
    return {name: sorted(values.items()) for name, values in sorted(found.items()) if values}
