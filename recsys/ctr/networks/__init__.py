"""Networks: one file each, put together from shared layers."""
