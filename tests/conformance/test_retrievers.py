"""What every registered retriever keeps to, with its usual settings but a smaller size where it has one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.data.log import Log
from recsys.errors import ConfigError, DataError, NothingToDo
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.candidates import candidates
from recsys.retrieval.hybrid import load
from recsys.retrieval.pair_features import with_pair_features
from recsys.retrieval.settings import CandidatesSettings
from tests.retrieval.shop import SIGNAL, Row, log_of, made_up, table
from tests.support.settled import settled, settled_audience, settled_log

pytestmark = pytest.mark.spark

SMALLER = {"rank": 4, "iterations": 3, "keep": 25, "basket": "user"}
"""Settings of retrievers that have them."""
K = 6


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    # Two items that the same people touch in the same way: every retriever ties on them.
    twins = [Row(f"u{u:03d}", name, "view", 50.0) for u in range(0, 20, 2) for name in ("twin b", "twin a")]
    made = made_up(30, 24)
    again = [replace(row, hours=row.hours + 40) for row in made if row.kind == "purchase"][::3]
    return [*made, *again, *twins]


@pytest.fixture(scope="module", params=registry.kinds())
def retriever(request: pytest.FixtureRequest) -> Retriever:
    cls = registry.get(request.param)
    return cls.model_validate({key: value for key, value in SMALLER.items() if key in cls.model_fields})


@pytest.fixture(scope="module")
def log(spark: SparkSession, rows: list[Row]) -> Log:
    return settled_log(logged(spark, rows))


def logged(spark: SparkSession, rows: list[Row], partitions: int | None = None) -> Log:
    """The log of some rows, with a catalog that tells the twins apart by their ids alone."""
    names = sorted({row.item for row in rows})
    number = {name: int(name[1:]) if name[1:].isdigit() else 0 for name in names}
    kinds = ("sport/shoes", "sport/balls", "home")
    said = [(name, True, None, f"thing {n}", kinds[n % 3], f"brand {n % 4}", 2.0 + n) for name, n in number.items()]
    catalog = spark.createDataFrame(
        said,
        "item_id string, available boolean, added_at timestamp, title string, category string, brand string, "
        "price double",
    )
    return replace(log_of(spark, rows, partitions=partitions), items=catalog)


@pytest.fixture(scope="module")
def model(retriever: Retriever, log: Log) -> Model[Any]:
    return settled(retriever.fit(log, signal=SIGNAL))


@pytest.fixture(scope="module")
def users(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(f"u{u:03d}",) for u in range(30)], "user_id string")


@pytest.fixture(scope="module")
def found(model: Model[Any], users: DataFrame) -> list[Any]:
    return model.lists(users, k=K).collect()


@pytest.fixture(scope="module")
def recommended(model: Model[Any]) -> list[Any]:
    """What everybody has not seen."""
    return model.recommend(k=K).collect()


def test_refit_on_other_partitions_gives_the_same(
    spark: SparkSession, retriever: Retriever, rows: list[Row], users: DataFrame, found: list[Any]
) -> None:
    again = retriever.fit(logged(spark, list(reversed(rows)), partitions=7), signal=SIGNAL)
    assert table(again.lists(users.repartition(5), k=K)) == sorted((tuple(row) for row in found), key=repr)


def test_frames_fit_their_tables(retriever: Retriever, model: Model[Any]) -> None:
    assert set(model.frames) == set(retriever.tables) >= set(model.item_frames)
    for name, table_of in retriever.tables.items():
        given = {"as_of", *table_of.partitions}
        assert set(model.frames[name].columns) | given >= set(table_of.column_names)
    assert "kind" not in repr(retriever)


def test_save_and_load(
    retriever: Retriever,
    model: Model[Any],
    users: DataFrame,
    found: list[Any],
    recommended: list[Any],
    tmp_path: Path,
) -> None:
    model.save(str(tmp_path / "model"))
    loaded = load(str(tmp_path / "model"))
    assert isinstance(loaded, Model) and loaded.settings == retriever
    assert table(loaded.lists(users, k=K)) == sorted((tuple(row) for row in found), key=repr)
    assert table(loaded.recommend(k=K)) == sorted(map(tuple, recommended), key=repr)
    with pytest.raises(DataError, match="already holds a model"):
        model.save(str(tmp_path / "model"))


def test_the_kernel_gives_the_same_rows(
    model: Model[Any], audience: Audience, found: list[Any], users: DataFrame
) -> None:
    """In one pass over users: the same ranks and scores, to the last bit."""
    asked = replace(model, settings=model.settings.model_copy(update={"k": K}), audience=audience)
    for settings in (CandidatesSettings(k=K, exclude_seen=False), CandidatesSettings(k=K)):
        made = candidates(audience.of_users(users), [asked], settings)
        name = model.settings.name
        rows = [(r["user_id"], r["item_id"], r["ranks"][name], r["scores"][name]) for r in made.collect()]
        joined = asked.lists(users, k=K, exclude=audience.seen).collect() if settings.exclude_seen else found
        assert sorted(rows, key=repr) == sorted(
            ((row["user_id"], row["item_id"], row["rank"], row["score"]) for row in joined), key=repr
        )


# -- features of pairs


def features_of(model: Model[Any], audience: Audience, pairs: DataFrame, **more: Any) -> list[Any]:
    """The rows as they come."""
    return with_pair_features(pairs, [model], audience, **more).collect()


@pytest.fixture(scope="module")
def names(retriever: Retriever) -> list[str]:
    found = [feature.column.name for feature in retriever.of_pairs]
    if not found:
        pytest.skip("offers none")
    return found


PAIRS = [(u, i) for u in ("u001", "u002", "u003", "u029") for i in ("i000", "i001", "i005", "i017", "i023", "twin a")]


@pytest.fixture(scope="module")
def pairs(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(PAIRS, "user_id string, item_id string")


@pytest.fixture(scope="module")
def featured(model: Model[Any], audience: Audience, pairs: DataFrame, names: list[str]) -> list[Any]:
    """The features of these pairs from the kernel."""
    return features_of(model, audience, pairs)


@pytest.fixture(scope="module")
def audience(log: Log) -> Audience:
    return settled_audience(Audience.of(log, signal=SIGNAL))


def test_a_pair_that_is_proposed_has_the_score_of_the_proposal(
    model: Model[Any], audience: Audience, users: DataFrame
) -> None:
    column = f"{model.settings.name}_score"
    if column not in [feature.column.name for feature in model.settings.of_pairs]:
        pytest.skip("offers no score")
    settings = CandidatesSettings(k=K, exclude_seen=not model.settings.only_from)
    made = candidates(audience.of_users(users), [model], settings).drop("score", "rank")
    rows = features_of(model, audience, made)
    assert rows and all(row[column] == row["scores"][model.settings.name] for row in rows)


def test_joins_give_the_figures_of_the_kernel(
    model: Model[Any], audience: Audience, pairs: DataFrame, names: list[str], featured: list[Any]
) -> None:
    joined = features_of(model, audience, pairs, broadcast_limit_mb=1e-6)
    assert len(featured) == len(PAIRS)
    for one, other in zip(sorted(featured), sorted(joined), strict=True):
        values, again = ({name: row[name] for name in names} for row in (one, other))
        assert values.keys() == again.keys() and one["item_id"] == other["item_id"]
        for name in names:
            assert (values[name] is None) == (again[name] is None)
            assert values[name] is None or values[name] == pytest.approx(again[name], abs=1e-9)


def test_partitions_other_pairs_and_repeats_change_no_figure(
    model: Model[Any], audience: Audience, pairs: DataFrame, names: list[str], featured: list[Any]
) -> None:
    one = pairs.where("user_id = 'u002' AND item_id IN ('i001', 'i005')")
    known = {(row["user_id"], row["item_id"]): row for row in featured}
    twice = features_of(model, audience, one.unionByName(one).repartition(3))
    assert len(twice) == 4
    assert {tuple(row) for row in twice} == {tuple(known["u002", name]) for name in ("i001", "i005")}
    scattered = replace(audience, histories=audience.histories.repartition(7))
    assert table(with_pair_features(pairs.repartition(5), [model], scattered)) == sorted(map(tuple, known.values()))
    assert any(known[pair][name] for pair in known for name in names), "or else nothing was compared"


def test_unknown_users_and_items_get_a_row(
    spark: SparkSession, model: Model[Any], audience: Audience, names: list[str]
) -> None:
    rows = [("nobody knows me", "i001"), ("u001", "nor this"), ("nobody knows me", "nor this"), ("u001", "i001")]
    strange = spark.createDataFrame(rows, "user_id string, item_id string")
    for limit in (100.0, 1e-6):
        found = {
            (row["user_id"], row["item_id"]): [row[name] for name in names]
            for row in features_of(model, audience, strange, broadcast_limit_mb=limit)
        }
        assert set(found) == set(rows)
        assert all(value in (None, 0.0) for user, item in rows[1:3] for value in found[user, item])
        assert all(value is None or value >= 0.0 for value in found["nobody knows me", "i001"])


def test_no_pairs(model: Model[Any], audience: Audience, pairs: DataFrame, names: list[str]) -> None:
    for limit in (100.0, 1e-6):
        empty = with_pair_features(pairs.where("false"), [model], audience, broadcast_limit_mb=limit)
        assert empty.columns == ["user_id", "item_id", *names] and not empty.collect()


def test_a_model_that_learned_nothing_scores_nothing(
    model: Model[Any], audience: Audience, pairs: DataFrame, names: list[str]
) -> None:
    bare = replace(model, frames={name: frame.where("false") for name, frame in model.frames.items()})
    rows = features_of(bare, audience, pairs)
    assert len(rows) == len(PAIRS) and all(row[name] in (None, 0.0) for row in rows for name in names)


def test_shape_ranks_order_and_ties(found: list[Any], users: DataFrame) -> None:
    assert found[0].asDict().keys() >= {"user_id", "item_id", "rank", "score"}
    lists: dict[str, list[Any]] = {}
    for row in sorted(found, key=lambda row: (row["user_id"], row["rank"])):
        lists.setdefault(row["user_id"], []).append(row)
    for mine in lists.values():
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert len({row["item_id"] for row in mine}) == len(mine) <= K
        keys = [(-row["score"], row["item_id"]) for row in mine]
        assert keys == sorted(keys), "by score, then by id"


def test_exclusion_is_exact(spark: SparkSession, model: Model[Any], users: DataFrame, found: list[Any]) -> None:
    firsts = {(row["user_id"], row["item_id"]) for row in found if row["rank"] <= 2}
    everything = {("u003", f"i{i:03d}") for i in range(24)} | {("u003", "twin a"), ("u003", "twin b"), ("x", "y")}
    exclude = spark.createDataFrame(sorted(firsts | everything), "user_id string, item_id string")
    rest = model.lists(users, k=K, exclude=exclude).collect()
    pairs = {(row["user_id"], row["item_id"]) for row in rest}
    assert not pairs & (firsts | everything)
    # What was third is first now.
    thirds = {(row["user_id"], row["item_id"]) for row in found if row["rank"] == 3 and row["user_id"] != "u003"}
    assert thirds == {
        (row["user_id"], row["item_id"])
        for row in rest
        if row["rank"] == 1 and (row["user_id"], row["item_id"]) in thirds
    }


def test_unknown_users_change_nothing_for_others(spark: SparkSession, model: Model[Any], found: list[Any]) -> None:
    named = spark.createDataFrame([("u001",), ("nobody knows me",)], "user_id string")
    rows = model.lists(named, k=K).collect()
    known = sorted((tuple(row) for row in found if row["user_id"] == "u001"), key=repr)
    assert sorted((tuple(row) for row in rows if row["user_id"] == "u001"), key=repr) == known
    assert sum(row["user_id"] != "u001" for row in rows) in (0, K), "nothing, or a list for anybody"


def test_no_users_and_no_data(spark: SparkSession, retriever: Retriever, model: Model[Any], users: DataFrame) -> None:
    assert model.lists(users.where("false"), k=K).isEmpty()
    assert model.recommend([], k=K).isEmpty()
    with pytest.raises(ConfigError, match="k is 0"):
        model.recommend(k=0)
    try:
        empty = retriever.fit(log_of(spark, []), signal=SIGNAL)
    except NothingToDo:
        return
    assert empty.lists(users, k=K).count() == 0


def test_recommend_to_everybody_what_they_have_not_seen(
    model: Model[Any], rows: list[Row], recommended: list[Any]
) -> None:
    seen = {(row.user, row.item) for row in rows}
    assert bool(recommended) != bool(model.settings.only_from)
    assert not {(row["user_id"], row["item_id"]) for row in recommended} & seen
    again = {(row["user_id"], row["item_id"]) for row in model.recommend(k=K, exclude_seen=False).collect()}
    assert again & seen
    assert model.recommend(["u001"], k=999).count() <= len({row.item for row in rows})


def test_recommend_eligible_items_alone(spark: SparkSession, model: Model[Any]) -> None:
    items = spark.createDataFrame([("i000", True), ("i001", False), ("new", True)], "item_id string, available boolean")
    found = model.recommend(k=K, exclude_seen=False, items=items).collect()
    assert {row["item_id"] for row in found} == {"i000"}
