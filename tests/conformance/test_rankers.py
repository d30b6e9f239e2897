"""What a ranker must do with every registered network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.base import TrainTask
from recsys.ctr.networks.registry import NETWORKS
from recsys.ctr.ranker import CtrRanker
from recsys.ctr.serving.bundle import ModelBundle
from tests.ctr import shop

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module", params=NETWORKS)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainTask, ModelBundle]:
    task = shop.task(tmp_path_factory.mktemp(request.param), rows=3000, kind=request.param, epochs=2)
    return task, CtrRanker().fit(task)


def test_refit_gives_the_same_bits(fitted: tuple[TrainTask, ModelBundle]) -> None:
    task, model = fitted
    assert CtrRanker().fit(task).files == model.files


def test_save_and_load_keep_scores(fitted: tuple[TrainTask, ModelBundle], tmp_path: Path) -> None:
    _, model = fitted
    model.save(str(tmp_path / "model"))
    rows = shop.table(300, seed=5)
    before, after = model.predict(rows), ModelBundle.load(str(tmp_path / "model")).predict(rows)
    assert before.logit.tolist() == after.logit.tolist()
    assert before.probability.tolist() == after.probability.tolist()


def test_scores_are_probabilities_in_the_order_of_the_rows(fitted: tuple[TrainTask, ModelBundle]) -> None:
    _, model = fitted
    rows = shop.table(257, seed=5)
    out = model.predict(rows)
    assert out.probability.shape == out.logit.shape == (257,)
    assert ((out.probability > 0) & (out.probability < 1)).all()
    order = np.random.default_rng(1).permutation(257)
    assert model.predict(rows.take(pa.array(order))).logit.tolist() == out.logit[order].tolist()


def test_a_row_scores_the_same_alone(fitted: tuple[TrainTask, ModelBundle]) -> None:
    _, model = fitted
    rows = shop.table(40, seed=5)
    together = model.predict(rows).logit
    assert [model.predict(rows.slice(i, 1)).logit[0] for i in range(40)] == together.tolist()


def test_empty_input(fitted: tuple[TrainTask, ModelBundle]) -> None:
    _, model = fitted
    assert model.predict(shop.table(3, seed=5).slice(0, 0)).probability.shape == (0,)


def test_unknown_values_and_nulls_everywhere(fitted: tuple[TrainTask, ModelBundle]) -> None:
    _, model = fitted
    schema = shop.table(50, seed=5).schema
    strange = {"item_id": "?", "device": "?", "history": ["?", None], "price": -1e300, "als_score": float("nan")}
    rows = pa.Table.from_pylist([{}, strange, {"item_id": "", "history": []}], schema=schema)
    out = model.predict(rows)
    assert np.isfinite(out.logit).all()
    assert np.isfinite(out.probability).all()


def test_further_columns_do_not_matter(fitted: tuple[TrainTask, ModelBundle]) -> None:
    _, model = fitted
    rows = shop.table(20, seed=5)
    bare = rows.select(model.spec.source_columns[::-1])
    assert model.predict(bare).logit.tolist() == model.predict(rows).logit.tolist()
