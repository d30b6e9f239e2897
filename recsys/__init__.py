"""A recommender for a data team's own Spark cluster, and the library that its jobs are made of.

The front door, all of it loaded when it is first used:

>>> import recsys
>>> log = recsys.Log.from_frame(frame, user="customer", item="sku", time="ts")  # doctest: +SKIP
>>> train, test = log.split(at="2024-06-01", horizon_days=7)  # doctest: +SKIP
>>> model = recsys.Hybrid([recsys.Als(rank=64), recsys.ItemItem(), recsys.Popular()]).fit(train)  # doctest: +SKIP
>>> lists = model.recommend(k=20)  # doctest: +SKIP
>>> recsys.evaluate(lists, test, metrics=["ndcg@10", "recall@20"]).show()  # doctest: +SKIP

Retrievers and rankers are those of the registries (`recsys.retrieval.registry`, `recsys.ctr.networks.registry`):
every algorithm of the pipeline is here under its class's name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.8.0"

_NAMES = {
    "Hybrid": "recsys.retrieval.hybrid.Hybrid",
    "Log": "recsys.data.log.Log",
    "Signal": "recsys.retrieval.settings.SignalSettings",
    "evaluate": "recsys.evaluation.library.evaluate",
    "load": "recsys.library.load",
    "session": "recsys.spark.local_session",
    "tune": "recsys.tuning.search.tune",
}
"""What the front door offers beside the registered algorithms, and where it lives."""


def __getattr__(name: str) -> Any:
    """Load a name of the front door."""
    if name in _NAMES:
        module, _, attribute = _NAMES[name].rpartition(".")
        return getattr(import_module(module), attribute)
    if name[:1].isupper():
        from recsys.library import algorithm

        found = algorithm(name)
        if found is not None:
            return found
    raise AttributeError(f"module recsys has no attribute {name}")


def __dir__() -> list[str]:
    """Names of the front door, the registered algorithms among them."""
    from recsys.library import algorithms

    return sorted({*_NAMES, *algorithms(), "__version__"})
