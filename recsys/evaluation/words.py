"""Names of metrics in words, and what each means in one line."""

from __future__ import annotations

from typing import Final, NamedTuple


class Word(NamedTuple):
    """How a metric is called, and what it says."""

    name: str
    meaning: str


WORDS: Final[dict[str, Word]] = {
    "ndcg": Word("NDCG", "how near to the top the items stand that a user went on to take up; 1 if they come first"),
    "recall": Word("recall", "share of the items that a user took up which the list holds"),
    "hit_rate": Word("hit rate", "share of users whose list holds at least one item that they took up"),
    "mrr": Word("MRR", "1 over the rank of the first item that the user took up, 0 without one"),
    "precision": Word("precision", "share of the list that the user took up"),
    "map": Word("MAP", "precision at each item that the user took up, averaged"),
    "coverage": Word("coverage", "share of the catalog that is in at least one list"),
    "novelty": Word("novelty", "how little known the items of a list are, in bits; popular items have few"),
    "diversity": Word("diversity", "share of the pairs of items in a list that differ in category"),
    "no_list": Word("no list", "share of users without a list"),
    "snips_ctr": Word("SNIPS CTR", "click rate that the list would have had, estimated from what was shown"),
    "ctr_corrected": Word("corrected CTR", "the same without weights for how likely an item was shown"),
    "snips_ess": Word("effective sample", "how many shown items of equal weight the SNIPS CTR is as good as"),
    "truep": Word("true click probability", "mean true probability of a click on the items of the list"),
    "regret": Word("regret", "how much more the best of the candidates would be worth"),
}
"""By the name of the metric in the table `metrics`."""


def in_words(metric: str, k: int = 0) -> str:
    """Name a metric at a cut-off for people.

    Examples
    --------
    >>> in_words("snips_ctr", 10)
    'SNIPS CTR@10'
    """
    name = WORDS[metric].name if metric in WORDS else metric.replace("_", " ")
    return f"{name}@{k}" if k else name
