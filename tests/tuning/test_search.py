"""A search for settings, on a retriever whose best ones are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pytest
import yaml
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import recsys
from recsys.data.log import Log
from recsys.errors import ConfigError
from recsys.evaluation.library import evaluate
from recsys.retrieval import registry
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import ItemFrame
from recsys.retrieval.drawing import Draw
from recsys.retrieval.kernels import Kernel
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier
from recsys.tuning.judge import mean_over_users, parsed
from recsys.tuning.report import changing, overlay_yaml, render
from recsys.tuning.search import Tuned, tune
from tests.retrieval.shop import AS_OF, EVENT, made_up

pytestmark = pytest.mark.fast

fits: list[float] = []
"""The aims of all fits, in order."""


class AimModel(Model["Aim"]):
    """Proposes one item to everybody, at a rank that says how far the aim is off."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {}

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        rank = 1 + min(8, round(40 * abs(self.settings.aim - 0.7)))
        made = users.select("user_id", F.lit("right").alias("item_id"), F.lit(rank).alias("rank"))
        return made.withColumn("score", F.lit(1.0)).where(F.col("rank") <= k)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> Kernel:
        raise NotImplementedError


class Aim(Retriever):
    """Best where `aim` is .7."""

    kind: Literal["aim"] = Field("aim", description="The algorithm")
    name: Identifier = Field("aim", description="Its name")
    aim: float = Field(0.1, description="What is searched")

    model = AimModel

    def learn(self, data: TrainingData) -> AimModel:
        fits.append(self.aim)
        if self.aim < 0:
            raise ConfigError("aim is below 0")
        return AimModel(self, {}, data.audience)

    def drawn(self, draw: Draw) -> Aim:
        return self.model_copy(update={"aim": draw.number("aim", 0.0, 1.0)})


@pytest.fixture(scope="module")
def parts(spark: SparkSession) -> tuple[Log, Log]:
    """What trials learn from, and what everybody then took up: the right item."""
    rows = [
        (f"e{i}", row.user, row.item, "view", AS_OF - timedelta(days=1), None, False)
        for i, row in enumerate(made_up(6, 8, 2))
    ]
    events = spark.createDataFrame(rows, EVENT)
    later = events.select("event_id", "user_id", F.lit("right").alias("item_id"), *events.columns[3:])
    return Log(events, AS_OF), Log(later, AS_OF)


@pytest.fixture(scope="module")
def found(parts: tuple[Log, Log], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuned[Aim], Path]]:
    storage = tmp_path_factory.mktemp("tuning") / "trials.db"
    yield tune(Aim(k=9), *parts, trials=11, storage=str(storage)), storage


def test_the_best_settings_are_found_and_the_others_stay(found: tuple[Tuned[Aim], Path]) -> None:
    tuned = found[0]
    assert abs(tuned.best.aim - 0.7) < 0.1 and tuned.best.k == 9
    assert tuned.base < tuned.value <= 1.0 and len(tuned.trials) == 11
    assert tuned.worth == {"aim": 1.0}


def test_a_search_goes_on_where_it_was(found: tuple[Tuned[Aim], Path], parts: tuple[Log, Log]) -> None:
    before = len(fits)
    again = tune(Aim(k=9), *parts, trials=12, storage=str(found[1]))
    assert len(fits) - before == 2, "the settings given, and one new trial"
    assert [trial.settings for trial in again.trials[:11]] == [trial.settings for trial in found[0].trials]
    assert fits[-1] not in fits[:-1], "it does not draw what it drew"


def test_the_same_seed_draws_the_same(parts: tuple[Log, Log]) -> None:
    one, two = (tune(Aim(), *parts, trials=2) for _ in range(2))
    assert [trial.settings for trial in one.trials] == [trial.settings for trial in two.trials]


def test_settings_that_are_best_already_stay(parts: tuple[Log, Log]) -> None:
    tuned = tune(Aim(aim=0.7), *parts, trials=2)
    assert tuned.best == Aim(aim=0.7) and tuned.value == tuned.base


def test_what_was_found_is_a_layer_of_the_config(found: tuple[Tuned[Aim], Path]) -> None:
    tuned = found[0]
    text = overlay_yaml(tuned, about="Found by a test.")
    assert text.startswith("# Found by a test.\n# ndcg@10 ")
    assert yaml.safe_load(text) == {"retrievers": {"aim": {"k": 9, "aim": tuned.best.aim}}}


def test_the_report_shows_the_trials(found: tuple[Tuned[Aim], Path]) -> None:
    html = render(found[0], about="Found by a <test>.")
    assert "&lt;test&gt;" in html and "Settings of aim" in html and html.count("<tr>") == 1 + 11 + 2
    assert changing(found[0].trials) == ["aim"] and html.count("data:image/png") == 2


def test_what_cannot_be_searched_is_refused(parts: tuple[Log, Log]) -> None:
    with pytest.raises(ConfigError, match="random: retrievers of kind random have no settings that are searched"):
        recsys.RandomItems().drawn(Ends())
    for metric, says in (("ndgc@5", "ndcg"), ("map@5", "known are"), ("ndcg", "has no cut-off")):
        with pytest.raises(ConfigError, match=says):
            parsed(metric)
    with pytest.raises(ConfigError, match="trials is 0"):
        tune(Aim(), *parts, trials=0)


def test_the_figure_is_that_of_the_evaluation(spark: SparkSession, parts: tuple[Log, Log]) -> None:
    rows = [(f"u{u:03d}", item, rank) for u in range(4) for rank, item in enumerate(("x", "right", "y"), 1)]
    lists = spark.createDataFrame(rows, "user_id string, item_id string, rank int")
    more = parts[1].events.withColumn("item_id", F.lit("y"))
    test = Log(parts[1].events.unionByName(more), AS_OF, past=parts[0])
    relevant = test.events.select("user_id", "item_id").distinct()
    names = ["ndcg@2", "recall@2", "hit_rate@3", "ndcg@3"]
    wanted = {f"{row['metric']}@{row['k']}": row["value"] for row in evaluate(lists, test, metrics=names).collect()}
    for name in names:
        metric, k = parsed(name)
        assert mean_over_users(lists, relevant, metric=metric, k=k) == pytest.approx(wanted[name], abs=1e-8)


class Ends:
    """Draws the one or the other end, and the last value or the first."""

    def __init__(self, *, low: bool = True) -> None:
        self.low = low

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low if self.low else high

    def one_of(self, name: str, values: Any) -> Any:
        return values[-1 if self.low else 0]


@pytest.mark.parametrize("kind", [kind for kind in registry.kinds() if kind not in ("random", "rules")])
def test_what_is_drawn_can_be_set(kind: str) -> None:
    """Both ends of every setting that is searched are among its values; what is not searched stays."""
    given = registry.get(kind).model_validate({"k": 7})
    for low in (True, False):
        drawn = given.drawn(Ends(low=low))
        assert drawn != given and drawn.k == 7
        assert type(drawn).model_validate(drawn.model_dump(exclude_unset=True)) == drawn
        assert drawn.cheaper(1.0) == drawn or kind in ("als", "item2vec")


def test_what_als_and_neighbors_draw() -> None:
    als = recsys.Als(k=7).drawn(Ends())
    assert (als.rank, als.alpha, als.k) == (128, 0.5, 7) and als.cheaper(0.25).rank == 32
    assert recsys.Als(implicit=False).drawn(Ends()).alpha is None
    near = recsys.ItemItem(source_power=0.2, half_life_days=9.0).drawn(Ends())
    assert (near.similarity, near.target_power, near.recent_items) == ("rp3beta", 0.0, 1000)
    assert near.half_life_days == 9.0 and near.cheaper(0.25) == near
