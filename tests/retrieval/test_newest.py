"""A retriever that is added: one module and one line, and the whole pipeline knows it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config
from recsys.ctr.heads import Heads
from recsys.data import AS_OF_KEY, Column, Table
from recsys.errors import ConfigError
from recsys.pipeline import execute
from recsys.pipeline.job import load_jobs
from recsys.retrieval import registry
from recsys.retrieval.als.tables import ALS_ITEM_FACTORS
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.entries import parse
from recsys.retrieval.frames import first_k
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, take_listed
from recsys.retrieval.reasons import Case
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier
from recsys.store import Warehouse
from tests.support.shops import ROOT, Shop, shop_config

pytestmark = pytest.mark.spark

NEWEST_ITEMS = Table(
    name="newest_items",
    comment="The items that came last.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "When it came", nullable=False),
    ),
    key=("as_of", "retriever", "item_id"),
    partitions=("as_of_key", "retriever"),
)


@dataclass(frozen=True)
class NewestKernel:
    """The items in their order."""

    items: Ints
    scores: Floats
    work: int = 0

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the same to everybody."""
        everybody = np.zeros(batch.n_users, np.int64)
        return take_listed([(self.items, self.scores)], everybody, k=k, excluded=excluded)


class NewestModel(Model["Newest"]):
    """The newest items: the frame `newest`, `item_id, score`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {"newest": ItemFrame(("item_id", "score"), "48")}

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the same items for everybody."""
        rows = users.select("user_id").crossJoin(F.broadcast(self.frames["newest"].select("item_id", "score")))
        if exclude is not None:
            rows = rows.join(exclude, on=["user_id", "item_id"], how="left_anti")
        return first_k(rows, k).select("user_id", "item_id", "rank", "score")

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> NewestKernel:
        """Order the items by score, ties by id."""
        place, score = catalog.find(tables["newest"]["item_id"]), tables["newest"]["score"].to_numpy()
        order = np.lexsort((place, -score))
        order = order[place[order] >= 0]
        return NewestKernel(place[order], score[order])

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Say that it is new."""
        return lists, [Case(F.lit(True), "new", F.lit("New in the shop"))]


class Newest(Retriever):
    """The items that came last."""

    kind: Literal["newest"] = Field("newest", description="The algorithm")
    name: Identifier = Field("newest", description="What its proposals, tables and features go under")
    keep: int = Field(40, description="Items kept")

    model = NewestModel
    tables = {"newest": NEWEST_ITEMS}
    features = (Feature("rank", "Rank by age"),)

    def learn(self, data: TrainingData) -> NewestModel:
        """Take the newest of the catalog."""
        assert data.log.items is not None
        newest = data.log.items.where("added_at IS NOT NULL").orderBy(F.desc("added_at"), "item_id").limit(self.keep)
        rows = newest.select("item_id", F.unix_micros("added_at").cast("double").alias("score"))
        return NewestModel(self, {"newest": rows}, data.audience)


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        registry.kinds()
        patch.setattr(registry, "_registered", dict(registry._registered))
        registry.register(Newest)
        yield


NAME, WEIGHT = "a_newest", 2.0
"""A name that sorts before those of the others."""
TWIN = "als_short"


@pytest.fixture(scope="module")
def run(
    spark: SparkSession,
    registered: None,
    shop: Shop,
    served: tuple[Config, Warehouse],
    tmp_path_factory: pytest.TempPathFactory,
) -> Warehouse:
    """The pipeline from the retrievers on, with two more in the list: another kind, and a second one of a kind."""
    root = tmp_path_factory.mktemp("newest") / "warehouse"
    shutil.copytree(served[1].root, root)
    added = (
        f"retrievers.{NAME}={{kind: newest, weight: {WEIGHT}, k: 20}}",
        f"retrievers.{TWIN}={{kind: als, rank: 4}}",
    )
    config = shop_config(shop.raw, root, *added, "train_ctr.epochs=1")
    jobs = load_jobs(ROOT / "jobs")
    for name in ("retrievers", "candidates", "ctr_examples", "train_ctr", "rank", "publish", "evaluate"):
        execute(jobs[name], spark, config, shop.as_of)
    return Warehouse(spark, config.warehouse)


def test_it_is_fitted_and_kept(run: Warehouse) -> None:
    rows = run.read(NEWEST_ITEMS).collect()
    assert len(rows) == 40 and {row["retriever"] for row in rows} == {NAME}


def test_it_proposes_under_its_own_name_and_weight(
    run: Warehouse, served: tuple[Config, Warehouse], shop: Shop
) -> None:
    at = {"as_of": shop.as_of}
    weights = {NAME: WEIGHT, TWIN: 1.0} | {one.name: one.weight for one in served[0].retrievers}
    found = run.read(data.CANDIDATES, where=at).collect()
    assert {name for row in found for name in row["sources"]} == set(weights)
    for row in found:
        assert row["sources"] == sorted(row["ranks"])
        expected = sum(weights[name] / (10.0 + row["ranks"][name]) for name in row["sources"])
        assert row["score"] == pytest.approx(expected, abs=1e-12)
    before = {(row["user_id"], row["item_id"]): row for row in served[1].read(data.CANDIDATES, where=at).collect()}
    for row in found:
        known = before.get((row["user_id"], row["item_id"]))
        if known:
            assert {name: rank for name, rank in row["ranks"].items() if name not in (NAME, TWIN)} == known["ranks"]
            assert row["because_item_id"] == known["because_item_id"]


def test_two_of_a_kind_stand_side_by_side(run: Warehouse, shop: Shop) -> None:
    versions = run.read(data.MODELS, where={"kind": "als", "as_of": shop.as_of}).select("model_version").collect()
    factors = run.read(ALS_ITEM_FACTORS).groupBy("model_version").agg(F.max(F.size("factors")).alias("rank")).collect()
    ranks = {row["model_version"]: row["rank"] for row in factors}
    assert {name.partition("-")[0]: ranks[name] for (name,) in versions} == {"als": 8, TWIN: 4}
    proposed = run.read(data.CANDIDATES).where(F.array_contains("sources", TWIN))
    assert proposed.where(F.col("ranks")[TWIN] != F.col("ranks")["als"]).count() > 0


def test_the_ranker_is_given_its_rank(run: Warehouse, shop: Shop) -> None:
    assert f"{NAME}_rank" in run.delta(data.CTR_EXAMPLES).toDF().columns
    newest = run.read(data.MODELS, where={"kind": "ctr", "as_of": shop.as_of}).orderBy(F.desc("created_at")).first()
    assert newest is not None
    spec = Heads.load(run.path(newest["path"])).bundles["click"].spec
    # No shown list has a rank of retrieval: the input is there, and the spec says why it is not used.
    assert f"{NAME}_rank" in {one.name for one in (*spec.inputs, *spec.dropped)}


def test_it_is_explained_and_judged(run: Warehouse) -> None:
    reasons = {row["reason"] for row in run.read(data.RECOMMENDATIONS).select("reason").distinct().collect()}
    assert "New in the shop" in reasons and len(reasons) > 2
    judged = run.read(data.METRICS).where((F.col("stage") == NAME) & (F.col("metric") == "ndcg")).collect()
    assert judged and {row["model_version"] for row in judged} == {NAME}
    report = next(Path(run.root).glob("reports/*/report.html")).read_text(encoding="utf-8")
    assert f'<td class="name">{NAME}</td>' in report


def test_settings_are_checked(registered: None) -> None:
    assert parse({"kind": "newest", "keep": 3}) == Newest(keep=3)
    assert Config.model_validate({"retrievers": {"newest": {}}}).retrievers[-1] == Newest()
    with pytest.raises(ConfigError, match="unknown kind of retriever newst; did you mean newest"):
        registry.get("newst")

    class Other(Newest):
        """Another with the same kind."""

    with pytest.raises(ConfigError, match="newest: .*Newest has it already"):
        registry.register(Other)


def test_a_table_is_cut_by_what_a_run_can_name(registered: None) -> None:
    class Odd(Newest):
        """A table that is partitioned by something else."""

        kind: Literal["odd"] = "odd"  # type: ignore[assignment]
        tables: ClassVar[Mapping[str, Any]] = {
            "newest": Table("odd", "Odd.", NEWEST_ITEMS.columns, ("item_id",), partitions=("item_id",))
        }

    with pytest.raises(ConfigError, match="partitions must be among"):
        registry.register(Odd)


def test_no_table_of_a_plug_in_is_partitioned_by_a_timestamp(registered: None) -> None:
    class Timed(Newest):
        """A table that is cut by the instant itself."""

        kind: Literal["timed"] = "timed"  # type: ignore[assignment]
        tables: ClassVar[Mapping[str, Any]] = {
            "newest": Table("timed", "Timed.", NEWEST_ITEMS.columns, ("item_id",), partitions=("as_of",))
        }

    with pytest.raises(ConfigError, match="table timed of timed: .*partition it by as_of_key"):
        registry.register(Timed)
