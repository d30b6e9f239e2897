"""The CTR ranker: a task, a launcher, a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from recsys.ctr.base import Baseline, TrainTask
from recsys.ctr.calibration import Calibration
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.launcher import HorovodLauncher, Launcher, LocalLauncher
from recsys.ctr.training.shards import snapshot_shards
from recsys.progress import note


class CtrRanker:
    """Trains the network that `task.settings.network` describes.

    Parameters
    ----------
    launcher : Launcher, optional
        Where the training function runs; in this process by default.
    config : mapping, optional
        Kept in the bundle beside the settings.
    """

    def __init__(self, launcher: Launcher | None = None, *, config: Mapping[str, Any] | None = None) -> None:
        self._launcher = launcher or LocalLauncher()
        self._config = dict(config or {})

    def fit(self, task: TrainTask) -> ModelBundle:
        """Train and return the model of the best epoch."""
        outcome = self._launcher.run(task)
        return ModelBundle(
            weights=outcome.weights,
            spec=FittedSpec.from_json(task.spec),
            config={"settings": task.settings.model_dump(mode="json"), **self._config},
            calibration=Calibration(**outcome.calibration),
            metrics=outcome.metrics,
        )


def make_launcher(settings: TrainCtrSettings) -> Launcher:
    """Return the launcher that the settings name: `local` or `horovod`."""
    if settings.launcher == "local":
        return LocalLauncher()
    return HorovodLauncher(
        ranks=settings.ranks,
        start_timeout_seconds=settings.start_timeout_seconds,
        stall_timeout_seconds=settings.stall_timeout_seconds,
    )


def default_baselines(ranks: Sequence[str] = ()) -> tuple[Baseline, ...]:
    """Return the single columns of the examples whose AUC stands beside the model's.

    Parameters
    ----------
    ranks : sequence of str
        Columns with the rank that a single retriever gave.
    """
    return (
        Baseline("popularity", "item_events_30d"),
        *(Baseline(name, name, -1) for name in ranks),
        Baseline("candidate_rank", "candidate_rank", -1),
        Baseline("position", "position", -1),
    )


def snapshot_task(
    snapshot: str,
    *,
    spec: FittedSpec,
    settings: TrainCtrSettings,
    baselines: Sequence[Baseline] = (),
    log_dir: str | None = None,
) -> TrainTask:
    """Make the task of a finished snapshot of `ctr_examples`.

    Parameters
    ----------
    log_dir : str, optional
        Where TensorBoard logs go; the logs of an earlier run there are removed. Only local directories are written.

    Raises
    ------
    DataError
        If the snapshot is missing or unfinished.
    """
    shards = snapshot_shards(snapshot)
    if log_dir and "://" in log_dir:
        note(f"no TensorBoard logs: {log_dir} is not a local directory")
        log_dir = None
    if log_dir:
        shutil.rmtree(log_dir, ignore_errors=True)
    return TrainTask(
        shards["train"],
        shards["valid"],
        shards["test"],
        spec.to_json(),
        settings,
        baselines=tuple(baselines),
        log_dir=log_dir,
    )
