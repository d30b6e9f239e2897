"""Everything that names a path or a table: the warehouse, its runs and models, snapshots, views, files."""

from recsys.store.commit import Written
from recsys.store.warehouse import PinnedWarehouse, Warehouse
from recsys.store.writes import Clear, Merge, Replace, Write, Writes

__all__ = ["Clear", "Merge", "PinnedWarehouse", "Replace", "Warehouse", "Write", "Writes", "Written"]
