"""Settings as arguments of the library: a wrong one is the project's error, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from recsys.ctr import estimators
from recsys.ctr.inputs.settings import InputSpec
from recsys.errors import ConfigError
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.hybrid import Hybrid
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.settings import SignalSettings

pytestmark = pytest.mark.fast

PRICE = {"name": "price", "source": "price", "kind": "numeric", "transform": "zscore"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Als(rnak=3), "Als has no setting rnak; did you mean rank?"),  # type: ignore[call-arg]
        (lambda: Als(rank=0), "Als: rank: input should be greater than or equal to 1 (found 0)"),
        (lambda: Als(reg=float("nan")), "Als: reg: input should be a finite number (found nan)"),
        (lambda: Als(kind="asl"), "Als: kind: input should be 'als'; did you mean als?"),  # type: ignore[arg-type]
        (
            lambda: SignalSettings(weights={"purchased": 1.0}),
            "Signal: weights: there is no event type 'purchased'; did",
        ),
        (lambda: SignalSettings(weights={}), "no weight above 0"),
        (lambda: SignalSettings(use_value="lod"), "did you mean log?"),  # type: ignore[arg-type]
        (lambda: estimators.DeepFM(hiden=(8,)), "DeepFM has no setting hiden; did you mean hidden?"),
        (lambda: estimators.DeepFM(hidden=3), "DeepFM: hidden: input should be a list (found 3)"),
        (lambda: estimators.DeepFM(optimizer="adagrid"), "DeepFM: optimizer: input should be 'adagrad' or 'adam'; did"),
        (lambda: estimators.DeepFM(inputs=[]), "DeepFM: inputs: a list of at least 1 is needed"),
        (lambda: estimators.DeepFM(inputs=[PRICE, PRICE]), "DeepFM: inputs: two inputs have the same name price"),
        (lambda: InputSpec(**{**PRICE, "transform": "zscroe"}), "InputSpec: transform: input should be "),
        (
            lambda: Hybrid([Als()], weights={"asl": 1.0}),
            "for asl, which is no retriever of this hybrid; did you mean als?",
        ),
        (lambda: Hybrid([Als()], weights={"als": -1.0}), "the weight of als is -1.0; give a number of at least 0"),
        (lambda: Hybrid([Als()], weights={"als": float("nan")}), "the weight of als is nan"),
        (
            lambda: Hybrid([Als(), Popular()], weights={"als": 0, "popular": 0}),
            "every entry of retrievers has the weight",
        ),
        (lambda: Hybrid(rrf_k=0.0), "Hybrid: rrf_k: input should be greater than 0 (found 0.0)"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_validated_without_a_call_keeps_its_place() -> None:
    """Sections of a config are told with their key, so their own error must not be raised on the way."""
    with pytest.raises(ValidationError):
        Als.model_validate({"rank": 0})
