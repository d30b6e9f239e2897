"""A fitted ranker as a library: it scores frames, Spark or pandas."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
import pyarrow as pa

from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.scoring import score
from recsys.ctr.settings import TrainCtrSettings
from recsys.data.callers import AnyFrame
from recsys.errors import DataError


class CtrModel:
    """A fitted ranker.

    Attributes
    ----------
    bundle : ModelBundle
        Weights, feature spec, settings and calibration.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics on the validation rows (`valid_…`) and of the training."""
        return dict(self.bundle.metrics)

    def predict(self, frame: AnyFrame, *, batch_size: int = 8192) -> AnyFrame:
        """Return the frame with a further column `prediction`: the calibrated probability, 0 to 1.

        Parameters
        ----------
        frame : DataFrame or pandas.DataFrame
            With the columns of the inputs; nulls and unknown values are allowed. A column `prediction` is replaced.
        batch_size : int
            Rows computed at once.

        Returns
        -------
        DataFrame or pandas.DataFrame
            As given: a Spark frame is scored on executors, a pandas frame in this process.

        Raises
        ------
        DataError
            If a column is missing.
        """
        if isinstance(frame, pd.DataFrame):
            return frame.assign(prediction=self._probabilities(frame))
        keep = [name for name in frame.columns if name != "prediction"]
        return score(frame, bundle=self.bundle, batch_size=batch_size, keep=keep, figures=["prediction"])

    def _probabilities(self, frame: pd.DataFrame) -> Any:
        sources = self.bundle.spec.source_columns
        missing = [name for name in sources if name not in frame.columns]
        if missing:
            raise DataError(f"the frame lacks the columns {', '.join(missing)} that the model was trained on")
        rows = pa.Table.from_pandas(frame[sources], preserve_index=False)
        return self.bundle.predict(rows).probability

    def save(self, path: str) -> None:
        """Write the model to a directory, whole or not at all."""
        self.bundle.save(path)

    @classmethod
    def load(cls, path: str) -> Self:
        """Read what :meth:`save` or the job `train_ctr` wrote.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        return cls(ModelBundle.load(path))

    def __repr__(self) -> str:
        """Show the settings that differ from their defaults, and the validation AUC."""
        fitted = shown(self.bundle.settings.model_copy(update={"inputs": None}))
        auc = self.bundle.metrics.get("valid_auc_raw", float("nan"))
        return f"<fitted {fitted}: {len(self.bundle.spec.inputs)} inputs, valid AUC {auc:.4f}>"


def shown(settings: TrainCtrSettings, **more: Any) -> str:
    """Write settings as the call that sets them: `DeepFM(hidden=(16,), epochs=2)`; defaults are left out."""
    network = settings.network
    values: dict[str, Any] = {}
    for part, default in ((network, type(network)(kind=network.kind)), (settings, TrainCtrSettings())):
        values |= {key: value for key, value in part if key != "network" and value != getattr(default, key)}
    if values.get("inputs") is not None:
        values["inputs"] = [item.name for item in values["inputs"]]
    return f"{type(network).__name__}({', '.join(f'{key}={value!r}' for key, value in {**values, **more}.items())})"
