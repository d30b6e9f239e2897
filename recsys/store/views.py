"""SQL views over the tables: what analysts and services read.

In catalog mode they are views of the schema. In path mode no catalog can keep them: they become temporary views of the
session, and their statements are written to `views.sql` beside the tables, for any other session to run.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession

from recsys import data
from recsys.data import Table
from recsys.data.sql import literal, quote
from recsys.store.text import write_text
from recsys.store.warehouse import Warehouse

FILE = "views.sql"


@dataclass(frozen=True)
class View:
    """One view.

    Attributes
    ----------
    reads : tuple of Table
        Tables that it needs; if one does not exist the view is left out.
    body : str
        A query, with {table} in the place of a table's name.
    """

    name: str
    comment: str
    reads: tuple[Table, ...]
    body: str


VIEWS = (
    View(
        "recommendations_latest",
        "The lists of the newest run date; users without a list have no row",
        (data.RECOMMENDATIONS,),
        "SELECT * FROM {recommendations} WHERE run_date = (SELECT max(run_date) FROM {recommendations})",
    ),
    View(
        "recommendations_with_items",
        "The newest lists with the items as they are now, to show and to check",
        (data.RECOMMENDATIONS, data.ITEMS),
        "SELECT r.*, i.category, i.brand, i.price, i.currency, i.available FROM {recommendations} r "
        "LEFT JOIN {items} i ON i.item_id = r.item_id AND i.is_current "
        "WHERE r.run_date = (SELECT max(run_date) FROM {recommendations})",
    ),
    View(
        "recommendations_by_user",
        "One row per user of the newest lists, items in order: the shape of a key-value export",
        (data.RECOMMENDATIONS,),
        "SELECT run_date, user_id, transform(array_sort(collect_list(struct(rank, item_id))), x -> x.item_id) AS items "
        "FROM {recommendations} WHERE run_date = (SELECT max(run_date) FROM {recommendations}) "
        "GROUP BY run_date, user_id",
    ),
    View(
        "metrics_latest",
        "Figures of the newest evaluation",
        (data.METRICS,),
        "SELECT * FROM {metrics} WHERE run_date = (SELECT max(run_date) FROM {metrics})",
    ),
    View(
        "quarantine_summary",
        "Broken rows by table, source and reason",
        (data.QUARANTINE,),
        "SELECT target_table, source, source_name, reason, sum(copies) AS n, min(ingest_date) AS first_seen, "
        "max(ingest_date) AS last_seen FROM (SELECT *, explode(reasons) AS reason FROM {quarantine}) "
        "GROUP BY target_table, source, source_name, reason",
    ),
    View(
        "runs_latest",
        "The newest run of each job",
        (data.RUNS,),
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY job ORDER BY started_at DESC, run_id) AS newest "
        "FROM {runs}) WHERE newest = 1",
    ),
)


def statement(warehouse: Warehouse, view: View, *, temporary: bool) -> str:
    """Write the statement that creates a view."""
    names = {table.name: warehouse.location(table) for table in view.reads}
    body = view.body.format(**names)
    if temporary:
        return f"CREATE OR REPLACE TEMPORARY VIEW {quote(view.name)} AS {body}"
    config = warehouse.config
    parts = [part for part in (config.catalog, config.database_name, view.name) if part]
    target = ".".join(quote(part) for part in parts)
    return f"CREATE OR REPLACE VIEW {target} COMMENT {literal(view.comment)} AS {body}"


def create_views(spark: SparkSession, warehouse: Warehouse) -> list[str]:
    """Create every view whose tables exist; return their names.

    In path mode this also writes `views.sql` into the warehouse.
    """
    temporary = warehouse.config.database_name is None
    made = [view for view in VIEWS if all(warehouse.exists(table) for table in view.reads)]
    statements = [statement(warehouse, view, temporary=temporary) for view in made]
    for text in statements:
        spark.sql(text)
    if temporary:
        lines = [f"-- {view.comment}\n{text};\n" for view, text in zip(made, statements, strict=True)]
        write_text(spark, warehouse.path(FILE), "\n".join(lines))
    return [view.name for view in made]
