"""SQL views over the tables: what analysts and services read.

In catalog mode they are views of the schema. In path mode there is no catalog to keep them: they are made as temporary
views of the session, and written as statements to `views.sql` beside the tables, for any other session to run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql import SparkSession

from recsys import tables
from recsys.io.literals import literal, quote
from recsys.io.text import write_text
from recsys.io.warehouse import Warehouse
from recsys.tables import Table

FILE = "views.sql"


@dataclass(frozen=True)
class View:
    """One view.

    Attributes
    ----------
    reads : tuple of Table
        Tables that it needs; without one of them the view is left out.
    body : str
        A query, with {table} where a table's name comes in.
    """

    name: str
    comment: str
    reads: tuple[Table, ...]
    body: str


VIEWS = (
    View(
        "recommendations_latest",
        "The lists of the newest run date; who got none then has no row",
        (tables.RECOMMENDATIONS,),
        "SELECT * FROM {recommendations} WHERE run_date = (SELECT max(run_date) FROM {recommendations})",
    ),
    View(
        "recommendations_with_items",
        "The newest lists with the items as they are now, to show and to check",
        (tables.RECOMMENDATIONS, tables.ITEMS),
        "SELECT r.*, i.category, i.brand, i.price, i.currency, i.available FROM {recommendations} r "
        "LEFT JOIN {items} i ON i.item_id = r.item_id AND i.is_current "
        "WHERE r.run_date = (SELECT max(run_date) FROM {recommendations})",
    ),
    View(
        "recommendations_by_user",
        "One row per user of the newest lists, items in order: the shape of a key-value export",
        (tables.RECOMMENDATIONS,),
        "SELECT run_date, user_id, transform(array_sort(collect_list(struct(rank, item_id))), x -> x.item_id) AS items "
        "FROM {recommendations} WHERE run_date = (SELECT max(run_date) FROM {recommendations}) "
        "GROUP BY run_date, user_id",
    ),
    View(
        "metrics_latest",
        "Figures of the newest evaluation",
        (tables.METRICS,),
        "SELECT * FROM {metrics} WHERE run_date = (SELECT max(run_date) FROM {metrics})",
    ),
    View(
        "quarantine_summary",
        "Broken rows by table, source and reason",
        (tables.QUARANTINE,),
        "SELECT target_table, source, source_name, reason, sum(copies) AS n, min(ingest_date) AS first_seen, "
        "max(ingest_date) AS last_seen FROM (SELECT *, explode(reasons) AS reason FROM {quarantine}) "
        "GROUP BY target_table, source, source_name, reason",
    ),
    View(
        "runs_latest",
        "The newest run of each job",
        (tables.RUNS,),
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY job ORDER BY started_at DESC, run_id) AS newest "
        "FROM {runs}) WHERE newest = 1",
    ),
)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def statement(warehouse: Warehouse, view: View, *, temporary: bool) -> str:
    """Write the statement that makes a view."""
    names = {table.name: warehouse.location(table) for table in view.reads}
    body = view.body.format(**names)
    if temporary:
        return f"CREATE OR REPLACE TEMPORARY VIEW {_checked(view.name)} AS {body}"
    config = warehouse.config
    parts = [part for part in (config.catalog, config.database_name, view.name) if part]
    target = ".".join(quote(_checked(part)) for part in parts)
    return f"CREATE OR REPLACE VIEW {target} COMMENT {literal(view.comment)} AS {body}"


def create_views(spark: SparkSession, warehouse: Warehouse) -> list[str]:
    """Make every view whose tables exist; return their names.

    In path mode also writes `views.sql` into the warehouse.
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


def _checked(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a view")
    return name
