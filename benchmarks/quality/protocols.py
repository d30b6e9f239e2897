"""The published splits of `benchmarks.retrieval_quality`, and the retrievers that are compared on each."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from recsys.retrieval.als.retriever import Als
from recsys.retrieval.base import Retriever
from recsys.retrieval.ease.retriever import Ease
from recsys.retrieval.item2vec.retriever import Item2Vec
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.ordered.retriever import Ordered
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.user_user.retriever import UserUser

K = 20
"""Length of the lists that are judged, where the split says nothing else."""
DEEP = 100
"""Items that each retriever proposes."""
WHOLE = 100_000
"""More recent items than any history has."""
HELD_OUT = 5
"""One of so many items of a user is held out for validation."""

Histories = dict[str, list[str]]
"""Items of each user."""


@dataclass(frozen=True)
class Protocol:
    """A published split.

    Attributes
    ----------
    train, test : str
        Its files; without a `test` it is the last item of each line.
    retrievers : tuple of Retriever
        What is compared on it.
    by_pair : bool
        Whether the files have a line per user and item; else one per user, with all items behind the user.
    header : bool
        Whether the first line names the columns.
    k : int
        Length of the lists that are judged.
    """

    train: str
    test: str | None
    retrievers: tuple[Retriever, ...]
    by_pair: bool = False
    header: bool = False
    k: int = K

    def read(self, data: Path) -> tuple[Histories, Histories]:
        """Items of each user for training, and those to be found."""
        train = self._histories(data / self.train)
        if self.test is not None:
            return train, self._histories(data / self.test)
        return last_item(train)

    def hold_out(self, train: Histories) -> tuple[Histories, Histories]:
        """Split a training part again, in the way of the test: for whatever is chosen."""
        return last_item(train) if self.test is None else a_fifth(train)

    def _histories(self, path: Path) -> Histories:
        found: Histories = {}
        with gzip.open(path, "rt") as lines:
            rows = (line.split() for line in list(lines)[1 if self.header else 0 :])
            for user, *items in rows:
                found.setdefault(user, []).extend(items[:1] if self.by_pair else items)
        return {user: items for user, items in found.items() if items}


def last_item(histories: Histories) -> tuple[Histories, Histories]:
    """Take the last item of each user away; whoever has no other is left out."""
    longer = {user: items for user, items in histories.items() if len(items) > 1}
    return {u: items[:-1] for u, items in longer.items()}, {u: items[-1:] for u, items in longer.items()}


def a_fifth(histories: Histories) -> tuple[Histories, Histories]:
    """Take a fifth of the pairs away, by a hash; of each user one item stays."""
    kept: Histories = {}
    held: Histories = {}
    for user, items in histories.items():
        out = [item for item in items[1:] if zlib.crc32(f"{user} {item}".encode()) % HELD_OUT == 0]
        gone = set(out)
        kept[user] = [item for item in items if item not in gone]
        if out:
            held[user] = out
    return kept, held


UNORDERED: tuple[Retriever, ...] = (
    Popular(k=DEEP),
    ItemItem(k=DEEP, recent_items=WHOLE, max_history=1000, keep=200),
    Als(k=DEEP),
    UserUser(k=DEEP),
)
"""For splits without times: neighbors start from whole histories. All else is default."""
DENSE: tuple[Retriever, ...] = (*UNORDERED, Ease(k=DEEP, recent_items=WHOLE, max_history=WHOLE, keep=1000))
"""The same, where all items fit one matrix."""
IN_ORDER: tuple[Retriever, ...] = (
    Popular(k=DEEP),
    ItemItem(k=DEEP, similarity="cosine", recent_items=WHOLE),
    Ordered(k=DEEP),
    Item2Vec(k=DEEP),
    Als(k=DEEP, rank=128),
)
"""For sequences."""

PROTOCOLS = {
    "lcfn": Protocol("movielens-1m/lcfn_train.txt.gz", "movielens-1m/lcfn_test.txt.gz", DENSE),
    "lightgcn": Protocol("lastfm-2k/lightgcn_data1.txt.gz", "lastfm-2k/lightgcn_test1.txt.gz", DENSE, by_pair=True),
    "amazon-cds": Protocol("amazon-cds/train.txt.gz", "amazon-cds/test.txt.gz", UNORDERED),
    "taobao-ehcf": Protocol(
        "taobao-ehcf/buy.train.txt.gz", "taobao-ehcf/buy.test.txt.gz", UNORDERED, by_pair=True, header=True
    ),
    "beibei-ehcf": Protocol(
        "beibei-ehcf/buy.train.txt.gz", "beibei-ehcf/buy.test.txt.gz", UNORDERED, by_pair=True, header=True
    ),
    "lastitem": Protocol("amazon-beauty/sequences.txt.gz", None, IN_ORDER, k=10),
    "lastitem-sports": Protocol("amazon-sports/sequences.txt.gz", None, IN_ORDER, k=10),
}
