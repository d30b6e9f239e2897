"""Fits the heads of a ranker, one after the other: the spec, then the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.ctr.base import Baseline
from recsys.ctr.heads import LABELS
from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.settings import attribute_inputs, default_inputs, retrieved_inputs
from recsys.ctr.ranker import CtrRanker, make_launcher, snapshot_task
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.users import with_user
from recsys.data import AttributeFeature, RetrieverFeature
from recsys.errors import NothingToDo
from recsys.progress import note, step


def with_inputs(
    settings: TrainCtrSettings, *, retrieved: Sequence[RetrieverFeature], attributes: Sequence[AttributeFeature]
) -> TrainCtrSettings:
    """Return the settings with every input: those that they name, else the default ones, and the user if it is wanted.

    Parameters
    ----------
    retrieved, attributes
        What the examples hold beside the columns of the contract.
    """
    inputs = settings.inputs or default_inputs(retrieved_inputs(retrieved), attribute_inputs(attributes))
    return settings.model_copy(update={"inputs": with_user(inputs, settings)})


def fit_heads(
    examples: DataFrame,
    *,
    snapshots: str,
    settings: TrainCtrSettings,
    baselines: Sequence[Baseline],
    log_dir: str | None,
    about: Mapping[str, Any],
) -> dict[str, ModelBundle]:
    """Train the heads of the settings.

    Parameters
    ----------
    examples : DataFrame
        Rows of `ctr_examples` of one instant.
    snapshots : str
        Directory of their snapshots, one for each origin.
    settings : TrainCtrSettings
        With `inputs`.
    baselines : sequence of Baseline
        Columns whose AUC stands beside the model's.
    log_dir : str, optional
        Where TensorBoard logs go, a directory for each head.
    about : mapping
        Kept in each bundle.

    Returns
    -------
    dict of str to ModelBundle
        By head, in the order of the settings; a head with too little to learn from is left out, with a note.

    Raises
    ------
    NothingToDo
        If no head can be trained.
    """
    ranker = CtrRanker(make_launcher(settings), config=about)
    found: dict[str, ModelBundle] = {}
    left_out = []
    for head in settings.heads:
        origin, label = LABELS[head]
        rows = examples.where((F.col("split") == "train") & (F.col("origin") == origin) & F.col(label).isNotNull())
        try:
            with step(f"fit the feature spec of {head}"):
                spec = fit_spec(rows, settings.inputs or ())
            task = snapshot_task(
                f"{snapshots}/{origin}",
                spec=spec,
                settings=settings,
                label=label,
                baselines=baselines,
                log_dir=f"{log_dir}/{head}" if log_dir else None,
            )
            with step(f"train the head {head}") as this:
                found[head] = ranker.fit(task)
                this.rows = int(found[head].metrics["train_rows"])
        except NothingToDo as why:
            left_out.append(f"{head}: {why}")
            note(f"the head {head} is left out: {why}")
    if not found:
        raise NothingToDo("; ".join(left_out))
    return found
