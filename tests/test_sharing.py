"""Objects for workers on Spark Connect: a file by the hash of its content, read once, and only if it is what it was."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark import SparkFiles

from recsys import sharing, spark

pytestmark = pytest.mark.fast


class Session:
    """As a session of Spark Connect: no SparkContext, and files that go to the workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sent = folder, list[Path]()

    def addArtifacts(self, path: str, *, file: bool) -> None:  # noqa: N802
        assert file
        self.sent.append(Path(path))
        shutil.copy(path, self.folder)


Session.__module__ = "pyspark.sql.connect.session"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(SparkFiles, "get", lambda name: str(tmp_path / name))
    sharing._read.cache_clear()
    yield Session(tmp_path)
    sharing._read.cache_clear()


def shared(session: Session, value: Any) -> Any:
    """What a worker gets of it."""
    return pickle.loads(pickle.dumps(spark.share(session, value)))  # type: ignore[arg-type]


def test_a_worker_reads_it_once_and_the_file_here_is_gone(session: Session) -> None:
    value = {"vectors": np.arange(3.0), "ids": ["a", "b"]}
    one, again = shared(session, value), shared(session, value)
    assert one.value["ids"] == ["a", "b"] and one.value["vectors"].tolist() == [0.0, 1.0, 2.0]
    assert one.value is again.value, "equal objects are one"
    assert len(session.sent) == 2 and not any(path.parent.exists() for path in session.sent)


def test_other_content_has_another_name(session: Session) -> None:
    first, second = shared(session, [1]), shared(session, [2])
    assert first.name != second.name
    assert (first.value, second.value) == ([1], [2])


def test_a_file_that_was_changed_is_not_unpickled(session: Session) -> None:
    one = shared(session, [1])
    (session.folder / one.name).write_bytes(pickle.dumps([2]))
    with pytest.raises(ValueError, match="is not what was shared"):
        _ = one.value
