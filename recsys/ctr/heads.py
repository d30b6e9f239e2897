"""The ranker: one model for each head, and how their probabilities make one score.

A head is a target: *engage* (taken up within the horizon, learned from candidates) gives the order, *click*, *cart* and
*purchase* (learned from shown lists) give the value. The score is `p_engage * product of p_head ^ weight`, kept as a
logarithm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from recsys.ctr.files import filesystem
from recsys.ctr.serving.bundle import CHECKSUMS, ModelBundle
from recsys.errors import DataError

ENGAGE: Final = "engage"
CLICK: Final = "click"
LABELS: Final[Mapping[str, tuple[str, str]]] = {
    ENGAGE: ("candidates", "label"),
    CLICK: ("lists", "label"),
    "cart": ("lists", "cart"),
    "purchase": ("lists", "purchase"),
}
"""By head: the origin of the examples that it learns from, and their column with its label."""
CHOICE: Final = "choice.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class Point:
    """What a weight of a head would give, on held-out lists.

    Attributes
    ----------
    head : str
        The head whose weight is varied.
    weight : float
        Its exponent in the score.
    ndcg : float
        NDCG of the lists, 0 to 1.
    snips : float, optional
        Click rate that logged impressions promise the lists; None where nothing was logged that they hold.
    """

    head: str
    weight: float
    ndcg: float
    snips: float | None


@dataclass(frozen=True)
class Choice:
    """How heads are put together, and whether the ranker is used at all.

    Attributes
    ----------
    weights : mapping of str to float
        Exponent of each head.
    used : bool
        Whether lists are ranked by it; otherwise retrieval's order decides.
    why : str
        One sentence for the log and the report.
    curve : tuple of Point
        What other weights would have given.
    metrics : mapping of str to float
        What the head `click` predicts for the first items of held-out lists, and what their impressions say.
    """

    weights: Mapping[str, float]
    used: bool
    why: str
    curve: tuple[Point, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Heads:
    """A fitted ranker.

    Attributes
    ----------
    bundles : mapping of str to ModelBundle
        By head.
    choice : Choice
        How they are put together.
    """

    bundles: Mapping[str, ModelBundle]
    choice: Choice = field(default_factory=lambda: Choice({}, False, "nothing was chosen yet"))

    @property
    def first(self) -> str:
        """The head that a list's `prediction` is of."""
        return next(iter(self.bundles))

    @property
    def scoring(self) -> dict[str, ModelBundle]:
        """The heads that the score depends on: the first one, and those with a weight."""
        weights = self.choice.weights
        return {name: one for name, one in self.bundles.items() if name == self.first or weights.get(name, 0.0) > 0}

    @property
    def source_columns(self) -> list[str]:
        """Columns that rows to score must have."""
        return list(dict.fromkeys(name for one in self.scoring.values() for name in one.spec.source_columns))

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of every head, as `<head>_<figure>`, and of the choice."""
        of_heads = {
            f"{head}_{name}": value for head, one in self.bundles.items() for name, value in one.metrics.items()
        }
        return {**of_heads, **self.choice.metrics}

    def save(self, path: str) -> dict[str, str]:
        """Write a directory for each head, and last the choice; return the SHA-256 of each file, by its path within."""
        sums: dict[str, str] = {}
        for head, bundle in self.bundles.items():
            bundle.save(f"{path}/{head}")
            sums |= {f"{head}/{name}": checksum for name, checksum in bundle.checksums.items()}
        text = json.dumps({"format": FORMAT, "heads": list(self.bundles), **asdict(self.choice)}, indent=1)
        fs, target = filesystem(path.rstrip("/"))
        with fs.open_output_stream(f"{target}/{CHOICE}") as stream:
            stream.write(text.encode())
        return sums | {CHOICE: hashlib.sha256(text.encode()).hexdigest()}

    @classmethod
    def load(cls, path: str) -> Heads:
        """Read a directory.

        Raises
        ------
        DataError
            If it is missing, incomplete, altered, or of another version.
        """
        fs, target = filesystem(path.rstrip("/"))
        if not fs.get_file_info(f"{target}/{CHOICE}").is_file:
            older = fs.get_file_info(f"{target}/{CHECKSUMS}").is_file
            what = "was written by an earlier version of the project" if older else f"is missing ({CHOICE})"
            raise DataError(f"the ranker in {path} {what}; run train_ctr")
        with fs.open_input_stream(f"{target}/{CHOICE}") as stream:
            found: dict[str, Any] = json.loads(stream.read())
        if found.get("format") != FORMAT:
            raise DataError(f"the ranker in {path} has another format than this version reads; run train_ctr again")
        curve = tuple(Point(**one) for one in found["curve"])
        choice = Choice(found["weights"], found["used"], found["why"], curve, found.get("metrics", {}))
        return cls({head: ModelBundle.load(f"{path}/{head}") for head in found["heads"]}, choice)
