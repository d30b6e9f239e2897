"""A model version as a directory: weights, feature spec, config, calibration, metrics, and a checksum of each file.

It appears whole or not at all: files are written to a sibling directory that is renamed at the end. Object stores
cannot rename; there the list of checksums is written last, and a directory without it is not a model.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs

from recsys.ctr.base import Predictions
from recsys.ctr.calibration import Calibration
from recsys.ctr.files import filesystem
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.networks.base import Architecture
from recsys.ctr.networks.registry import network_of
from recsys.ctr.settings import TrainCtrSettings
from recsys.errors import DataError

if TYPE_CHECKING:
    from recsys.ctr.serving.predictor import Predictor

CHECKSUMS = "checksums.json"
WEIGHTS = "weights.npz"
FORMAT = 2


@dataclass(frozen=True)
class ModelBundle:
    """A fitted ranker with everything that scoring needs.

    Attributes
    ----------
    config : dict
        `settings` (of :class:`TrainCtrSettings`) and whatever else the caller wants to keep.
    metrics : dict of str to float
        Metrics of the fit; no times, so that equal fits give equal files.
    """

    weights: dict[str, npt.NDArray[Any]]
    spec: FittedSpec
    config: dict[str, Any]
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def settings(self) -> TrainCtrSettings:
        """How the model was trained."""
        return TrainCtrSettings.model_validate(self.config["settings"])

    @property
    def network(self) -> Architecture:
        """Which network it is, with its settings."""
        return network_of(self.config["settings"]["network"])

    @cached_property
    def predictor(self) -> Predictor:
        """The model in memory (imports TensorFlow)."""
        from recsys.ctr.serving.predictor import Predictor

        return Predictor(self.spec, self.network, self.weights, self.calibration)

    def predict(self, rows: pa.Table | pa.RecordBatch) -> Predictions:
        """Score rows, in their order."""
        return self.predictor.predict(rows)

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files of the directory, checksums included. Equal models give equal bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: self.weights[name] for name in sorted(self.weights)})
        out = {
            WEIGHTS: buffer.getvalue(),
            "spec.json": self.spec.to_json().encode(),
            "config.json": _json({"format": FORMAT, **self.config}),
            "calibration.json": _json(self.calibration.as_dict()),
            "metrics.json": _json(self.metrics),
        }
        return out | {CHECKSUMS: _json({name: hashlib.sha256(data).hexdigest() for name, data in out.items()})}

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file other than the list itself."""
        found: dict[str, str] = json.loads(self.files[CHECKSUMS])
        return found

    def save(self, path: str) -> None:
        """Write the directory; an existing one is replaced, unless it holds the same model."""
        fs, target = filesystem(path.rstrip("/"))
        if (
            fs.get_file_info(f"{target}/{CHECKSUMS}").is_file
            and _read(fs, f"{target}/{CHECKSUMS}") == self.files[CHECKSUMS]
        ):
            return
        _sweep(fs, target)
        if not isinstance(fs, (pafs.LocalFileSystem, pafs.HadoopFileSystem)):
            _remove(fs, target)
            self._write(fs, target)
            return
        mark = uuid.uuid4().hex[:8]
        self._write(fs, f"{target}.writing-{mark}")
        if fs.get_file_info(target).type != pafs.FileType.NotFound:
            fs.move(target, f"{target}.replaced-{mark}")
        fs.move(f"{target}.writing-{mark}", target)
        _remove(fs, f"{target}.replaced-{mark}")

    def _write(self, fs: pafs.FileSystem, directory: str) -> None:
        fs.create_dir(directory, recursive=True)
        for name, data in self.files.items():  # the checksums are last
            with fs.open_output_stream(f"{directory}/{name}") as stream:
                stream.write(data)

    @classmethod
    def load(cls, path: str) -> ModelBundle:
        """Read a directory and verify every checksum.

        Raises
        ------
        DataError
            If the directory is missing, incomplete or altered.
        """
        fs, target = filesystem(path.rstrip("/"))
        if not fs.get_file_info(f"{target}/{CHECKSUMS}").is_file:
            raise DataError(f"{path} holds no finished model ({CHECKSUMS} is missing); run train_ctr")
        names = [*json.loads(_read(fs, f"{target}/{CHECKSUMS}")), CHECKSUMS]
        absent = [name for name in names if not fs.get_file_info(f"{target}/{name}").is_file]
        if absent:
            raise DataError(f"the model in {path} lacks {', '.join(absent)}; run train_ctr again")
        return cls.from_files({name: _read(fs, f"{target}/{name}") for name in names}, origin=path)

    @classmethod
    def from_files(cls, files: dict[str, bytes], *, origin: str = "memory") -> ModelBundle:
        """Rebuild a bundle from its files.

        Raises
        ------
        DataError
            If a file is not what its checksum says.
        """
        for name, expected in json.loads(files[CHECKSUMS]).items():
            if hashlib.sha256(files[name]).hexdigest() != expected:
                raise DataError(
                    f"{name} of the model in {origin} was altered or cut short (checksum differs); run train_ctr again"
                )
        with np.load(io.BytesIO(files[WEIGHTS]), allow_pickle=False) as archive:
            weights = {name: archive[name] for name in archive.files}
        config = json.loads(files["config.json"])
        written = config.pop("format")
        if written != FORMAT:
            raise DataError(
                f"the model in {origin} has format {written}, written by another version of the project; this one "
                f"reads format {FORMAT}: run train_ctr again"
            )
        return cls(
            weights=weights,
            spec=FittedSpec.from_json(files["spec.json"].decode()),
            config=config,
            calibration=Calibration(**json.loads(files["calibration.json"])),
            metrics=json.loads(files["metrics.json"]),
        )


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode()


def _read(fs: pafs.FileSystem, path: str) -> bytes:
    with fs.open_input_stream(path) as stream:
        data: bytes = stream.read()
    return data


def _remove(fs: pafs.FileSystem, path: str) -> None:
    if fs.get_file_info(path).type != pafs.FileType.NotFound:
        fs.delete_dir(path)


def _sweep(fs: pafs.FileSystem, target: str) -> None:
    """Remove what a killed run left behind; only one run at a time writes this version."""
    parent, _, name = target.rpartition("/")
    for info in fs.get_file_info(pafs.FileSelector(parent or ".", allow_not_found=True)):
        if info.base_name.startswith((f"{name}.writing-", f"{name}.replaced-")):
            _remove(fs, info.path)
