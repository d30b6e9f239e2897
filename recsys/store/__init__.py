"""Everything that names a path or a table: the warehouse, its runs and models, snapshots, views, files."""

from recsys.store.warehouse import Warehouse, Written

__all__ = ["Warehouse", "Written"]
