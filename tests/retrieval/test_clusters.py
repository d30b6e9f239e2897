"""Clusters of profiles against counts and a formula in Python; every score is a quotient of small integers."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.data.log import Log
from recsys.errors import ConfigError
from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.candidates import candidates
from recsys.retrieval.clusters.counting import cluster_members
from recsys.retrieval.clusters.retriever import Clusters, ClustersModel
from recsys.retrieval.interactions import pairs
from recsys.retrieval.settings import CandidatesSettings
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, WEIGHTS, Row, events_of, index, log_of, table
from tests.support.settled import settled, settled_audience

pytestmark = pytest.mark.fast

ROWS = [
    *(Row(f"n{u}", "ski") for u in range(3)),
    Row("n0", "ski", "purchase"),
    Row("n0", "tea"),
    *(Row(f"s{u}", "sail") for u in range(2)),
    *(Row(f"x{u}", name) for u in range(6) for name in ("tea", "sail")),
    Row("robot", "ski", "purchase", bot=True),
]
PROFILES: list[tuple[str, str | None, int | None, dict[str, str]]] = [
    *((f"n{u}", "north", 1984, {"plan": "gold"}) for u in range(3)),
    ("quiet", "north", 1987, {"plan": "gold"}),
    *((f"s{u}", "south", 1990, {"plan": "gold"}) for u in range(2)),
    ("single", "north", 1990, {}),
    ("blank", " ", None, {"plan": ""}),
]
SCHEMA = "user_id string, segment string, birth_year int, attributes map<string,string>"
PRIOR, K = 8, 3


@pytest.fixture(scope="module")
def profiles(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(PROFILES, SCHEMA)


@pytest.fixture(scope="module")
def log(spark: SparkSession, profiles: DataFrame) -> Log:
    return log_of(spark, [*ROWS, *FUTURE], users=profiles)


@pytest.fixture(scope="module")
def audience(spark: SparkSession, profiles: DataFrame) -> Audience:
    events = events_of(spark, ROWS)
    past = pairs(events, as_of=AS_OF, signal=SIGNAL, seen_types=["*"])
    people = known_users(events, profiles, as_of=AS_OF)
    return settled_audience(Audience(people, past, index(spark, "item", ["ski", "tea", "sail"])))


@pytest.fixture(scope="module")
def model(log: Log, audience: Audience) -> ClustersModel:
    fitted = Clusters(prior=PRIOR, min_users=2).fit(log, signal=SIGNAL)
    assert isinstance(fitted, ClustersModel)
    return settled(fitted, audience)


def oracle() -> dict[tuple[str, str], Fraction]:
    """Score of each item in each cluster, by the formula."""
    cluster = {"n": "segment north", "s": "segment south"}
    touched: dict[tuple[str, str], int] = defaultdict(int)
    for row in ROWS:
        if not row.bot:
            touched[row.user, row.item] = max(touched[row.user, row.item], int(WEIGHTS[row.kind]))
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for (user, item), weight in touched.items():
        counts["", item] += weight
        if user[0] in cluster:
            counts[cluster[user[0]], item] += weight
    items, whole = ("ski", "tea", "sail"), sum(n for (name, _), n in counts.items() if not name)
    found = {("", item): Fraction(counts["", item], whole) for item in items}
    for name in cluster.values():
        size = sum(counts[name, item] for item in items)
        for item in items:
            found[name, item] = (counts[name, item] + PRIOR * found["", item]) / (size + PRIOR)
    return found


def test_scores_are_shares_drawn_towards_everybodys(model: ClustersModel) -> None:
    """Seven of the north's eight points are for skis, which 7 of everybody's 22 are: 7/16 + 8/16 x 7/22."""
    rows = model.frames["choices"].collect()
    found = {(row["cluster"], row["item_id"]): row["score"] for row in rows}
    assert found == pytest.approx({key: float(value) for key, value in oracle().items()}, rel=1e-15)
    assert oracle()["segment north", "ski"] == Fraction(7, 16) + Fraction(7, 44)
    for name in ("", "segment north", "segment south"):
        mine = sorted((row for row in rows if row["cluster"] == name), key=lambda row: row["rank"])
        assert [row["rank"] for row in mine] == [1, 2, 3]
        assert [row["score"] for row in mine] == sorted((row["score"] for row in mine), reverse=True)


def first_items(rows: list[Any]) -> dict[str, list[str]]:
    by_user: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["user_id"], row["rank"])):
        by_user[row["user_id"]].append(row["item_id"])
    return dict(by_user)


@pytest.mark.parametrize("limit", [256.0, 0.00001])
def test_people_get_the_list_of_their_cluster(model: ClustersModel, audience: Audience, limit: float) -> None:
    """In one pass and by joins. Whoever is in no cluster gets everybody's list; what a user touched is left out."""
    found = candidates(audience, [model], CandidatesSettings(k=K), broadcast_limit_mb=limit).collect()
    lists = first_items(found)
    assert lists["quiet"] == ["ski", "tea", "sail"]
    assert lists["single"] == ["ski", "tea", "sail"]
    assert lists["blank"] == ["sail", "ski", "tea"]
    assert lists["n0"] == ["sail"]
    assert lists["s1"] == ["ski", "tea"]
    assert "robot" not in lists


def test_clusters_are_of_columns_decades_and_attributes(profiles: DataFrame) -> None:
    by = ("segment", "birth_year", "plan")
    assert table(cluster_members(profiles, by=by, min_users=3)) == [
        (name, "segment north, birth_year 1980, plan gold") for name in ("n0", "n1", "n2", "quiet")
    ]
    assert ("single", "birth_year 1990") in table(cluster_members(profiles, by=("birth_year",), min_users=3))
    with pytest.raises(ConfigError, match="no column town"):
        cluster_members(profiles.select("user_id", "segment"), by=("town",), min_users=1)


def test_a_reason_is_given_where_the_cluster_chooses_it_more(spark: SparkSession, model: ClustersModel) -> None:
    lists = spark.createDataFrame(
        [("quiet", "ski"), ("quiet", "tea"), ("blank", "ski"), ("nobody", "ski")], "user_id string, item_id string"
    )
    rows, (case,) = model.explain(lists)
    given = rows.where(case.when).select("user_id", "item_id")
    assert table(given) == [("quiet", "ski")]
