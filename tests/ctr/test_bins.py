"""Values in bins, by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.inputs.bins import count_bins, count_values, places, rounded
from recsys.ctr.inputs.seen import Profile
from recsys.ctr.inputs.spec import FittedInput

pytestmark = pytest.mark.fast

PLAIN = FittedInput("price", "price", "numeric", "zscore")
LOG = FittedInput("seen", "seen", "numeric", "log_zscore")
WORD = FittedInput("brand", "brand", "categorical", "vocabulary", table="brand")
TAGS = FittedInput("tags", "tags", "multi_hot", "vocabulary", table="tags", length=4)


def test_numbers_keep_three_digits_on_the_scale_of_their_transform() -> None:
    values = pa.array([1234.0, -0.0012345, 0.0, 9.996, None, float("nan"), float("inf")])
    assert rounded(PLAIN, values)[:4] == pytest.approx([1230.0, -0.00123, 0.0, 10.0])
    assert np.isnan(rounded(PLAIN, values)[4:]).all()
    assert rounded(LOG, pa.array([np.e - 1, 1 - np.e])) == pytest.approx([1.0, -1.0])


def test_places_by_hand() -> None:
    profile = Profile("price", (0.0,) * 4, edges=(1.0, 2.0))
    assert places(PLAIN, profile, pa.array([0.5, 1.0, 1.9, 2.0, 7.0, None])).tolist() == [1, 2, 2, 3, 3, 0]
    words = Profile("brand", (0.0,) * 4, values=("acme", "best"))
    assert places(WORD, words, pa.array(["best", "acme", "else", None])).tolist() == [2, 1, 3, 0]
    assert places(TAGS, Profile("tags", (0.0, 0.0)), pa.array([["x"], [], None])).tolist() == [1, 0, 0]


def test_counts_of_batches_add_up() -> None:
    batch = pa.record_batch({"price": [1.0, 1.0001, 3.0, None], "brand": ["acme", None, "acme", "else"]})
    counted = [(row["value"], row["n"]) for part in count_values([batch], [PLAIN]) for row in part.to_pylist()]
    assert counted == [(1.0, 2), (3.0, 1)]
    words = {"brand": Profile("brand", (0.0,) * 3, values=("acme",))}
    binned = [(row["bin"], row["n"]) for part in count_bins([batch, batch], [WORD], words) for row in part.to_pylist()]
    assert binned == [(0, 1), (1, 2), (2, 1)] * 2
