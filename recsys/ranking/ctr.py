"""The CTR ranker: a task, a launcher, a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from recsys.progress import note
from recsys.ranking.base import Baseline, TrainSettings, TrainTask
from recsys.ranking.bundle import ModelBundle
from recsys.ranking.calibration import Calibration
from recsys.ranking.data import snapshot_shards
from recsys.ranking.launcher import HorovodLauncher, Launcher, LocalLauncher
from recsys.ranking.spec import FittedSpec

BASELINES = (
    Baseline("popularity", "item_events_30d"),
    Baseline("popular_rank", "popular_rank", -1),
    Baseline("candidate_rank", "candidate_rank", -1),
    Baseline("position", "position", -1),
)
"""Single columns of the examples whose AUC stands beside the model's."""


class CtrRanker:
    """Fits the networks of `recsys.ranking.model` (`settings.model` says which).

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
            config={"settings": task.settings.as_dict(), **self._config},
            calibration=Calibration(**outcome.calibration),
            metrics=outcome.metrics,
        )


def make_launcher(section: Any) -> Launcher:
    """Return the launcher that the `ctr` section of the config names: `local` or `horovod`."""
    if section.launcher == "local":
        return LocalLauncher()
    return HorovodLauncher(
        ranks=section.ranks,
        start_timeout_seconds=section.start_timeout_seconds,
        stall_timeout_seconds=section.stall_timeout_seconds,
    )


def snapshot_task(snapshot: str, *, spec: FittedSpec, settings: TrainSettings, log_dir: str | None = None) -> TrainTask:
    """Make the task of a finished snapshot of `ctr_examples`.

    Parameters
    ----------
    log_dir : str, optional
        Where TensorBoard logs go; what an earlier run left there is removed. Only local directories are written.

    Raises
    ------
    DataError
        If the snapshot is missing or was never finished.
    """
    shards = snapshot_shards(snapshot)
    if log_dir and "://" in log_dir:
        note(f"no TensorBoard logs: {log_dir} is not a local directory")
        log_dir = None
    if log_dir:
        shutil.rmtree(log_dir, ignore_errors=True)
    return TrainTask(
        shards["train"], shards["valid"], shards["test"], spec.to_json(), settings, baselines=BASELINES, log_dir=log_dir
    )
