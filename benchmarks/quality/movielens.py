"""Movielens-1m by single pairs: the protocol of Neural Collaborative Filtering, and five folds of ratings.

- `ncf`: one item of each user is held out, and is to be found among 99 others of the published list (He and others,
  Neural Collaborative Filtering, WWW 2017): hit rate and NDCG of the first ten.
- `folds`: each fifth of the ratings is predicted from the others; the root mean square error over all of them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from benchmarks.quality.logs import SIGNAL, log_of_ratings
from recsys.data.log import Log
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Retriever
from recsys.retrieval.pair_features import with_pair_features
from recsys.tuning.search import tune

FOLDS = 5
LOWEST, HIGHEST = 1.0, 5.0
"""Bounds of a rating."""
K = 10


def measure_ncf(spark: SparkSession, data: Path, retrievers: Sequence[Retriever]) -> dict[str, float]:
    """Hit rate and NDCG of the held-out item among 99 others, by the score of each retriever."""
    folder = data / "movielens-1m"
    ratings = _ratings(folder)
    log, wanted = log_of_ratings(spark, ratings[~ratings["ncf_test"]]), _pairs(folder)
    found: dict[str, float] = {}
    for retriever in retrievers:
        scores = _scores(spark, retriever, log, wanted)
        rank = _rank_of_first(scores.to_numpy().reshape(-1, 1 + wanted["place"].max()))
        hit = rank <= K
        found[f"hr@{K}/{retriever.name}"] = round(float(hit.mean()), 4)
        found[f"ndcg@{K}/{retriever.name}"] = round(float((hit / np.log2(rank + 1)).mean()), 4)
    return found


def measure_folds(spark: SparkSession, data: Path, retriever: Als) -> dict[str, float]:
    """Root mean square error of the ratings, of each fold and of all; pairs without a score get the mean rating."""
    ratings = _ratings(data / "movielens-1m")
    squares, found = [], {}
    for fold in range(1, FOLDS + 1):
        out = ratings["fold"] == fold
        wanted = ratings.loc[out, ["user_id", "item_id", "value"]].reset_index(drop=True)
        scores = _scores(spark, retriever, log_of_ratings(spark, ratings[~out]), wanted)
        predicted = scores.fillna(ratings.loc[~out, "value"].mean()).clip(LOWEST, HIGHEST)
        errors = (predicted - wanted["value"]) ** 2
        squares.append(errors)
        found[f"rmse/fold_{fold}"] = round(float(np.sqrt(errors.mean())), 4)
    return {"rmse": round(float(np.sqrt(pd.concat(squares).mean())), 4), **found}


def _rank_of_first(scores: np.ndarray) -> np.ndarray:
    """Rank of the first column in each row, from 1; a tie counts against it, and no score is the lowest."""
    known = np.where(np.isnan(scores), -np.inf, scores)
    return 1 + (known[:, 1:] >= known[:, :1]).sum(axis=1)


def _ratings(folder: Path) -> pd.DataFrame:
    rows = pd.read_parquet(folder / "ratings.parquet")
    return pd.DataFrame(
        {
            "user_id": rows["user_id"].astype(str),
            "item_id": rows["movie_id"].astype(str),
            "value": rows["rating"].astype(float),
            "fold": rows["fold"],
            "ncf_test": rows["ncf_test"],
        }
    )


def _pairs(folder: Path) -> pd.DataFrame:
    """A row per user and item to be ranked: `user_id, item_id, place`, the held-out item at place 0."""
    movie = pd.read_csv(folder / "ncf_item_map.csv.gz").set_index("ncf_item")["movie_id"].astype(str).to_dict()
    rows = []
    with gzip.open(folder / "ncf_test_negative.tsv.gz", "rt") as lines:
        for line in lines:
            held, *others = line.split()
            user, item = (int(part) for part in held.strip("()").split(","))
            rows += [(str(user + 1), movie[int(one)], place) for place, one in enumerate([item, *others])]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "place"])


def _scores(spark: SparkSession, retriever: Retriever, log: Log, wanted: pd.DataFrame) -> pd.Series:
    """The retriever's score of each row of `wanted`, in its order."""
    audience = Audience.of(log, signal=SIGNAL)
    model = retriever.fit(log, signal=SIGNAL)
    column = f"{retriever.name}_score"
    pairs = spark.createDataFrame(wanted[["user_id", "item_id"]].assign(row=np.arange(len(wanted))))
    scored = with_pair_features(pairs, [model], audience).select("row", column).toPandas()  # of a benchmark
    return scored.sort_values("row")[column].reset_index(drop=True)


def searched(spark: SparkSession, data: Path, retrievers: Sequence[Retriever], trials: int) -> list[Retriever]:
    """Search settings for `ncf` on one training item of each user, by a hash; judged by NDCG among all items."""
    ratings = _ratings(data / "movielens-1m")
    train = ratings[~ratings["ncf_test"]].reset_index(drop=True)
    order = (train["user_id"] + " " + train["item_id"]).map(lambda text: zlib.crc32(text.encode()))
    held = train.index.isin(order.groupby(train["user_id"]).idxmin())
    parts = log_of_ratings(spark, train[~held]), log_of_ratings(spark, train[held])
    return [tune(one, *parts, metric=f"ndcg@{K}", trials=trials, signal=SIGNAL).best for one in retrievers]
