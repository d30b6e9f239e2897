"""The ranker as a library: `DeepFM(epochs=3).fit(clicks).predict(frame)`, one class per registered network.

They use what the job `train_ctr` uses: feature spec, launcher, bundle and scoring. A network that is added to the
registry has its class here without another line.
"""

from __future__ import annotations

import inspect
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pyspark.sql import DataFrame

from recsys.ctr import held_out, tables
from recsys.ctr.base import TrainTask
from recsys.ctr.files import filesystem
from recsys.ctr.fitted import CtrModel, shown
from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.keywords import documentation, settings_from, signature
from recsys.ctr.networks.base import Architecture
from recsys.ctr.networks.registry import NETWORKS, architecture
from recsys.ctr.ranker import CtrRanker, make_launcher
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training.shards import list_shards
from recsys.data.callers import AnyFrame
from recsys.errors import ConfigError, DataError

SHARDS = 8
_WIDTH: int = InputSpec.model_fields["width"].default


class CtrEstimator:
    """A network to be trained on any labeled click table.

    Parameters
    ----------
    embedding_width : int
        Width of the embeddings of inferred inputs.
    **settings
        The settings of the network and of its training, as in the config section `train_ctr`, with its defaults.

    Raises
    ------
    ConfigError
        If a setting is unknown or impossible.
    """

    kind: ClassVar[str]
    network: ClassVar[type[Architecture]]

    def __init__(self, *, embedding_width: int = _WIDTH, **settings: Any) -> None:
        if embedding_width < 1:
            raise ConfigError(f"{type(self).__name__}: embedding_width is {embedding_width}; it must be at least 1")
        self.embedding_width = embedding_width
        of_fit = inspect.signature(self.fit).parameters
        self.settings = settings_from(self.network, self.kind, settings, of_fit=of_fit)

    def fit(
        self,
        examples: AnyFrame,
        *,
        valid: AnyFrame | float = 0.1,
        label: str = "label",
        sample_rate: str | None = None,
        group: str | None = None,
        propensity: str | None = None,
        exclude: Sequence[str] = (),
        workdir: str | None = None,
    ) -> CtrModel:
        """Train on a table of examples; the best epoch on the validation rows is kept.

        Without `inputs`, inputs are inferred from the types of the columns: strings, whole numbers, booleans and dates
        become categories, arrays of them sequences (their mean); other numbers and arrays of them, such as supplied
        embeddings, are standardized. Values seen fewer than five times share one id.

        Parameters
        ----------
        examples : DataFrame or pandas.DataFrame
            One row per example.
        valid : DataFrame, pandas.DataFrame or float
            Validation rows, or the share of `examples` to hold out for them.
        label : str
            Column of 0 and 1, or of booleans.
        sample_rate : str, optional
            Column with the probability with which a row was kept, where negatives were sampled: predictions then are
            those of the population.
        group : str, optional
            Column that names the list of a row, such as `list_id`: `loss="softmax"`, `loss="pairwise"` and the metrics
            within lists need it. A list is held out whole.
        propensity : str, optional
            Column with the probability with which a row was shown, for the setting `propensity_clip`.
        exclude : sequence of str
            Columns that are not to be inputs.
        workdir : str, optional
            Directory for Parquet files during the training, removed afterwards. A temporary directory of this machine
            by default; on a cluster it must be one that executors and driver reach under the same path or URI.

        Returns
        -------
        CtrModel

        Raises
        ------
        DataError, ConfigError
            In one sentence: a column that is missing or unfit, labels other than 0 and 1, no row, one class only.
        """
        columns = tables.ExampleColumns(label, sample_rate, group, propensity, tuple(exclude))
        frame = tables.to_spark(examples)
        _require_shared(workdir, frame)
        inputs = self.settings.inputs
        if inputs is None:
            inputs = columns.inputs(frame, width=self.embedding_width)
        rows = columns.rows(frame, inputs)
        held = _share(valid) if isinstance(valid, (int, float)) else columns.rows(tables.to_spark(valid), inputs)
        settings = self.settings.model_copy(update={"inputs": inputs})
        with _directory(workdir) as directory:
            written = held_out.write(rows, held, directory, shards=max(SHARDS, settings.ranks or 0), group=group)
            columns.check(written, min_examples=settings.min_examples)
            return _train(written, directory, columns, settings)

    @classmethod
    def load(cls, path: str) -> CtrModel:
        """Read a model that :meth:`CtrModel.save` or the job `train_ctr` wrote.

        Raises
        ------
        DataError
            If it is missing, damaged, or of another network.
        """
        model = CtrModel.load(path)
        if model.bundle.network.kind != cls.kind:
            raise DataError(f"the model in {path} is a {model.bundle.network.kind}, not a {cls.kind}")
        return model

    def __repr__(self) -> str:
        """Show the settings that differ from their defaults."""
        width = {} if self.embedding_width == _WIDTH else {"embedding_width": self.embedding_width}
        return shown(self.settings, **width)


def names() -> dict[str, str]:
    """Return the class names of all estimators and the kinds of their networks."""
    return {name.rpartition(".")[2]: kind for kind, name in NETWORKS.items()}


@cache
def _estimator(name: str, kind: str, where: str) -> type[CtrEstimator]:
    """Make the class of a network; `where` the network is defined keeps two that were registered in turn apart."""
    network = architecture(kind)
    return type(
        name,
        (CtrEstimator,),
        {
            "kind": kind,
            "network": network,
            "__module__": __name__,
            "__doc__": documentation(network, embedding_width="Width of the embeddings of inferred inputs"),
            "__signature__": signature(network, embedding_width=_WIDTH),
        },
    )


def __getattr__(name: str) -> type[CtrEstimator]:
    """Return the estimator of a registered network by the name of its class."""
    kind = names().get(name)
    if kind is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return _estimator(name, kind, NETWORKS[kind])


def __dir__() -> list[str]:
    """Return the names of this module, with those of the estimators."""
    return sorted({*globals(), *names()})


def _share(valid: float) -> float:
    if not 0 < valid < 1:
        raise ConfigError(f"valid is {valid}; give a share between 0 and 1, or a frame of validation rows")
    return float(valid)


def _train(written: DataFrame, directory: str, columns: tables.ExampleColumns, settings: TrainCtrSettings) -> CtrModel:
    """Fit spec and network to what was written, as the job does."""
    train = written.where(written[held_out.SPLIT] == "train").drop(held_out.SPLIT)
    spec = fit_spec(train, settings.inputs or ())
    task = TrainTask(
        list_shards(f"{directory}/{held_out.SPLIT}=train"),
        list_shards(f"{directory}/{held_out.SPLIT}=valid"),
        (),
        spec.to_json(),
        settings,
        label=columns.label,
        sample_rate=columns.sample_rate,
        group=columns.group,
        propensity=columns.propensity,
    )
    return CtrModel(CtrRanker(make_launcher(settings), config={"label": columns.label}).fit(task))


def _require_shared(workdir: str | None, frame: DataFrame) -> None:
    master = frame.sparkSession.conf.get("spark.master", "local") or "local"
    if workdir is None and not master.startswith("local"):
        raise ConfigError("on a cluster, fit needs workdir=: a directory that the executors and this process can reach")


@contextmanager
def _directory(workdir: str | None) -> Iterator[str]:
    """Give a directory that does not exist yet, and remove it at the end."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="recsys-ctr-") as local:
            yield (Path(local) / "examples").as_uri()
        return
    directory = f"{workdir.rstrip('/')}/recsys-ctr-{uuid.uuid4().hex[:12]}"
    try:
        yield directory
    finally:
        fs, inner = filesystem(directory)
        if fs.get_file_info(inner).type.name != "NotFound":
            fs.delete_dir(inner)
