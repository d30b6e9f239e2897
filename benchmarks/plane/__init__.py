"""The data plane beside DuckDB, and the cost of one more day."""
