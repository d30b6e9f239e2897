"""The CTR ranker: a task, a launcher, a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq

from recsys.ranking.base import Baseline, Shard, TrainTask
from recsys.ranking.bundle import ModelBundle
from recsys.ranking.calibration import Calibration
from recsys.ranking.data import filesystem
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
        outcome = self._launcher.run(replace(task, baselines=_present(task.baselines, task.train)))
        return ModelBundle(
            weights=outcome.weights,
            spec=FittedSpec.from_json(task.spec),
            config={"settings": task.settings.as_dict(), **self._config},
            calibration=Calibration(**outcome.calibration),
            metrics=outcome.metrics,
        )


def make_launcher(
    name: str, *, ranks: int | None = None, start_timeout_seconds: int = 600, stall_timeout_seconds: int = 300
) -> Launcher:
    """Return the launcher that the config names: `local` or `horovod`."""
    if name == "local":
        return LocalLauncher()
    return HorovodLauncher(
        ranks=ranks, start_timeout_seconds=start_timeout_seconds, stall_timeout_seconds=stall_timeout_seconds
    )


def _present(baselines: tuple[Baseline, ...], shards: tuple[Shard, ...]) -> tuple[Baseline, ...]:
    if not shards or not baselines:
        return ()
    fs, path = filesystem(shards[0].path)
    with fs.open_input_file(path) as handle:
        names = set(pq.ParquetFile(handle).schema_arrow.names)
    return tuple(b for b in baselines if b.column in names)
