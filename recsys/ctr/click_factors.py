"""What a user is inclined to click, from a logistic factorization of shown lists.

A factorization machine of the user, the item, its brand, its category and the position: the sum of a weight for each
and of the products of their factors. It is fitted at past instants, on the lists before each, so that its logit is a
fair input of the ranker; for shown items and candidates alike, at the first position.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.networks.registry import FACTORIZATION, network_of
from recsys.ctr.ranker import CtrRanker, make_launcher, snapshot_task
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.scoring import score
from recsys.ctr.settings import TrainCtrSettings
from recsys.features.choosing import choose
from recsys.features.examples import LISTS, Labeled
from recsys.features.settings import CtrExamplesSettings
from recsys.features.states import with_state
from recsys.retrieval.past import by_newest
from recsys.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Section

KIND: Final = "click_factors"
"""Kind of its versions in `models`."""
AFFINITY: Final = "click_affinity"
"""The feature that it gives."""
_BATCH: Final = 8192
"""Rows scored at once."""
_PLACE: Final = "_place"
_STATE: Final = {"category": "item_category", "brand": "item_brand"}
_KEPT: Final = ("position", "example_id", "list_id", "split", "label", "sample_rate")
_EMBEDDED: Final = {"user": "user_id", "item": "item_id", "item_category": "item_category", "item_brand": "item_brand"}


class ClickFactorsSettings(Section):
    """`click_factors`: a factorization of shown lists whose logit is an input of the ranker.

    It learns from the lists of `ctr_examples.window_days`, sampled and held out like the examples of the ranker.
    """

    enabled: bool = Field(True, description="Whether it is fitted; its column is null without")
    width: PositiveInt = Field(16, description="Factors of each user, item, brand and category")
    min_count: PositiveInt = Field(5, description="Users and items with fewer examples share one vector")
    l2: NonNegativeFloat = Field(0.01, description="L2 on the vectors that an example uses, on average over examples")
    learning_rate: PositiveFloat = Field(0.05, description="Learning rate (Adagrad)")
    epochs: PositiveInt = Field(10, description="Maximum number of epochs; the best one on held-out lists counts")


def inputs_of(settings: ClickFactorsSettings) -> tuple[InputSpec, ...]:
    """Return the inputs of the factorization."""
    embedded = partial(InputSpec, kind="categorical", transform="vocabulary", min_count=settings.min_count)
    factors = [embedded(name=name, source=source, width=settings.width) for name, source in _EMBEDDED.items()]
    return (*factors, embedded(name="position", source="position", width=1))


def click_examples(lists: Labeled, items: DataFrame, *, examples: CtrExamplesSettings) -> DataFrame:
    """Sample and split shown lists, and add what the factorization knows of an item.

    Parameters
    ----------
    lists : Labeled
        Of `recsys.features.examples.from_lists`.
    items : DataFrame
        Full history of the catalog.
    examples : CtrExamplesSettings
        How the lists are sampled and held out.

    Returns
    -------
    DataFrame
        What `recsys.store.snapshot.export` takes.

    Raises
    ------
    NothingToDo
        If the lists hold no clicks, or nothing else.
    """
    chosen = choose([lists], settings=examples.model_copy(update={"origins": (LISTS,)}), rungs=())
    rows = with_state(chosen.pairs, items, entity="item", columns=_STATE, time="example_time")
    return rows.select(*_EMBEDDED.values(), *_KEPT)


def fit_click_factors(
    rows: DataFrame, *, snapshot: str, settings: ClickFactorsSettings, training: Mapping[str, Any]
) -> ModelBundle:
    """Fit the factorization.

    Parameters
    ----------
    rows : DataFrame
        Of `click_examples`.
    snapshot : str
        Where they were exported to.
    training : mapping
        Further settings of `train_ctr`: where it is trained, and with how many threads.

    Raises
    ------
    NothingToDo
        If there are too few examples.
    """
    inputs = inputs_of(settings)
    how = TrainCtrSettings(
        heads=("click",),
        network=network_of({"kind": FACTORIZATION}),
        inputs=inputs,
        user_embedding="off",
        embedding_l2=settings.l2,
        embedding_learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        # The newest lists, which are held out to choose the epoch, tell most of what comes next.
        refit=True,
        tensorboard=False,
        **training,
    )
    # Nothing is learned of a user who comes in held-out lists alone unless the vocabulary has a place for them.
    spec = fit_spec(rows, inputs)
    return CtrRanker(make_launcher(how)).fit(snapshot_task(snapshot, spec=spec, settings=how))


def with_click_affinity(pairs: DataFrame, fits: Mapping[datetime, ModelBundle], items: DataFrame) -> DataFrame:
    """Add `click_affinity`, the logit of a click at the first position, by the newest fit not later than the pair.

    Parameters
    ----------
    pairs : DataFrame
        user_id, item_id, example_time and more; read once for each fit.
    fits : mapping of datetime to ModelBundle
        What was learned from the lists before each instant.
    items : DataFrame
        Full history of the catalog.

    Returns
    -------
    DataFrame
        `pairs` and the column; null before the first fit.
    """

    def scored(bundle: ModelBundle, rows: DataFrame) -> DataFrame:
        at_first = rows.withColumn(_PLACE, F.col("position")).withColumn("position", F.lit(1).cast("int"))
        described = with_state(at_first, items, entity="item", columns=_STATE, time="example_time")
        kept = [_PLACE if name == "position" else name for name in rows.columns]
        found = score(described, bundle=bundle, batch_size=_BATCH, keep=kept, figures=("logit",))
        return found.withColumnsRenamed({_PLACE: "position", "logit": AFFINITY})

    scorers = {at: partial(scored, bundle) for at, bundle in fits.items()}
    return by_newest(pairs, scorers, before=lambda rows: rows.withColumn(AFFINITY, F.lit(None).cast("double")))
