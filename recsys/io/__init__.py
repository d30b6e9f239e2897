"""Everything that names a path or a table: reading raw sources, the warehouse, snapshots, views."""

from recsys.io.warehouse import Warehouse, Written

__all__ = ["Warehouse", "Written"]
