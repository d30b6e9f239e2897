"""Train the ranker.

Reads ctr_examples (and its Parquet snapshot) for `as_of`; writes the warehouse's directory `bundles/<model_version>`
and last the row of `models`, keyed by `model_version`, that makes the version visible.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config, config_json, stamp, version_of
from recsys.io import Warehouse
from recsys.progress import current, step
from recsys.ranking.base import TrainSettings
from recsys.ranking.ctr import CtrRanker, make_launcher, snapshot_task
from recsys.ranking.fit_spec import fit_spec
from recsys.ranking.versions import model_row
from recsys.runner import Job


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, fit the spec, train, save, make the version visible."""
    warehouse = Warehouse(spark, cfg.warehouse)
    version = version_of("ctr", as_of, cfg.ctr, cfg.examples)
    path, logs = warehouse.path("bundles", version), warehouse.path("tensorboard", version)
    examples = warehouse.read(tables.CTR_EXAMPLES, where={"as_of": as_of, "split": "train"}, required=False)
    with step("fit the feature spec"):
        spec = fit_spec(examples, cfg.ctr.inputs)
    task = snapshot_task(
        warehouse.path("snapshots", "ctr_examples", stamp(as_of)),
        spec=spec,
        settings=TrainSettings.of(cfg.ctr),
        log_dir=logs if cfg.ctr.tensorboard else None,
    )
    ranker = CtrRanker(make_launcher(cfg.ctr), config={"as_of": as_of.isoformat(), "model_version": version})
    with step("train the ranker") as this:
        bundle = ranker.fit(task)
        this.rows = int(bundle.metrics["train_rows"])
    bundle.save(path)
    row = model_row(
        spark,
        bundle,
        version=version,
        as_of=as_of,
        path=path,
        config=config_json(cfg),
        data_versions=current().reads,
    )
    warehouse.merge(tables.MODELS, row, update=True)


JOB = Job("train_ctr", run, doc=__doc__, reads=(tables.CTR_EXAMPLES,), writes=(tables.MODELS,))


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
