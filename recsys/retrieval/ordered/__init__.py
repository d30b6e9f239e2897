"""Ordered item-item: what people touch after an item, followed from their latest items."""
