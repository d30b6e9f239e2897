"""What MLlib's Word2Vec is fed and how it is called: one fixed order, and no more items than the config names."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.item2vec import sentences as words
from recsys.retrieval.item2vec.sentences import Sentences
from recsys.retrieval.neighborhoods.counting import cut_index


@dataclass(frozen=True)
class Skipgram:
    """How vectors are learned.

    Attributes
    ----------
    size : int
        Length of a vector.
    window : int
        Items before and after one that are predicted from it, at most.
    iterations : int
        Passes over the sentences.
    learning_rate : float
        Size of the first steps.
    partitions : int
        Parts of the sentences that are learned from at a time; their vectors are averaged after each pass.
    longest : int
        Items of the longest sentence.
    seed : int
        Of the first vectors and the windows.
    """

    size: int
    window: int
    iterations: int
    learning_rate: float
    partitions: int
    longest: int
    seed: int


def sentences(touched: DataFrame, item_index: DataFrame, *, most: int, broadcast_limit_mb: float) -> DataFrame:
    """Return `u, items`: each sequence of at least two touches, oldest first, its items by their numbers as texts.

    Parameters
    ----------
    touched : DataFrame
        `u, item_id, at, step`: see `recsys.retrieval.touches`.
    item_index : DataFrame
        `item_id, idx`.
    most : int
        Touches kept per sequence.
    broadcast_limit_mb : float
        Up to this size the index is broadcast.
    """
    index, _, _ = cut_index(item_index, broadcast_limit_mb=broadcast_limit_mb)
    numbered = touched.join(index, on="item_id", how="inner").select("u", "idx", "at", "step")
    return numbered.repartition("u").mapInArrow(Sentences(most).write, words.SCHEMA)


def vocabulary(written: DataFrame, *, min_count: int, max_items: int) -> tuple[int, int]:
    """Return how often an item has to be touched to get a vector, and how many items get one.

    Parameters
    ----------
    written : DataFrame
        What `sentences` returns; it is read twice.
    min_count : int
        Fewest touches.
    max_items : int
        Most items: above it the least touched are left out, those with equal counts together.
    """
    counts = written.select(F.explode("items").alias("item")).groupBy("item").agg(F.count("*").alias("n"))
    most = counts.where(F.col("n") >= min_count).orderBy(F.desc("n")).limit(max_items + 1)
    row = most.agg(F.count("*").alias("items"), F.min("n").alias("least")).collect()[0]
    if row["items"] <= max_items:
        return min_count, int(row["items"])
    least = int(row["least"]) + 1
    return least, int(counts.where(F.col("n") >= least).count())


def vectors(written: DataFrame, fit: Skipgram, *, min_count: int) -> DataFrame:
    """Return `idx, vector`: vectors of length 1 of the items that occur at least `min_count` times.

    They are held by the driver, as MLlib makes them; `vocabulary` bounds how many there are.
    """
    # Loaded here: MLlib takes a while, and most who name a retriever do not fit it.
    from pyspark.ml.feature import Word2Vec
    from pyspark.ml.functions import vector_to_array

    estimator = Word2Vec(
        vectorSize=fit.size,
        windowSize=fit.window,
        maxIter=fit.iterations,
        stepSize=fit.learning_rate,
        numPartitions=fit.partitions,
        maxSentenceLength=fit.longest,
        minCount=min_count,
        seed=fit.seed,
        inputCol="items",
    )
    # One partition in a fixed order: words are numbered, and steps taken, in the order in which they come.
    found = estimator.fit(written.repartition(1).sortWithinPartitions("u")).getVectors()
    raw = found.select(F.col("word").cast("int").alias("idx"), vector_to_array(F.col("vector")).alias("v"))
    squares = F.aggregate("v", F.lit(0.0), lambda sofar, x: sofar + x * x)
    long = raw.withColumn("length", F.sqrt(squares)).where(F.col("length") > 0)
    return long.select("idx", F.transform("v", lambda x: (x / F.col("length")).cast("float")).alias("vector"))
