"""The CTR ranker: a task, a launcher, a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from recsys.ctr.base import Baseline, TrainOutcome, TrainTask, badness
from recsys.ctr.calibration import Calibration
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.launcher import HorovodLauncher, Launcher, LocalLauncher
from recsys.ctr.training.shards import snapshot_columns, snapshot_shards
from recsys.ctr.users import USER
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
        """Train and return the model of the best epoch.

        Where `user_embedding` is `auto` and the spec has the input `user`, two models are trained, with and without it,
        and the one whose best epoch is better by `stop_on` is returned; its metric `user_embedding` is 1 or 0.
        """
        spec = FittedSpec.from_json(task.spec)
        outcome = self._launcher.run(task)
        switch = task.settings.user_embedding
        used = any(item.name == USER for item in spec.inputs)
        if switch == "auto" and used:
            logs = f"{task.log_dir}/without_user" if task.log_dir else None
            smaller = spec.without(USER)
            other = self._launcher.run(replace(task, spec=smaller.to_json(), log_dir=logs))
            with_user, without = (_best(found, task.settings) for found in (outcome, other))
            used = with_user < without
            outcome, spec = (outcome, spec) if used else (other, smaller)
            note(
                f"the embedding of the user is {'kept' if used else 'left out'}: on the validation split "
                f"{task.settings.stop_on} is {abs(with_user):.5f} with it, {abs(without):.5f} without"
            )
        metrics = outcome.metrics if switch == "off" else {**outcome.metrics, "user_embedding": float(used)}
        return ModelBundle(
            weights=outcome.weights,
            spec=spec,
            config={"settings": task.settings.model_dump(mode="json"), **self._config},
            calibration=Calibration(**outcome.calibration),
            metrics=metrics,
        )


def _best(outcome: TrainOutcome, settings: TrainCtrSettings) -> float:
    return min(badness(epoch, settings) for epoch in outcome.history)


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
    label: str = "label",
    baselines: Sequence[Baseline] = (),
    log_dir: str | None = None,
) -> TrainTask:
    """Make the task of a finished snapshot of `ctr_examples`, with its lists, propensities and calibration split.

    Parameters
    ----------
    label : str
        Column of the label of the head that is trained.
    log_dir : str, optional
        Where TensorBoard logs go; the logs of an earlier run there are removed. Only local directories are written.

    Raises
    ------
    DataError
        If the snapshot is missing or unfinished.
    """
    shards, columns = snapshot_shards(snapshot), snapshot_columns(snapshot)
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
        label=label,
        baselines=tuple(baselines),
        log_dir=log_dir,
        calibration=shards["calibration"],
        group="list_id" if "list_id" in columns else None,
        propensity="propensity" if "propensity" in columns else None,
    )
