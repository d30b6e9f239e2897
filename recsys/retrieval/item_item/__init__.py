"""Item-item co-occurrence: the items that the same people touch, followed from recent items."""
