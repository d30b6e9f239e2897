"""Buy again: what users bought before, by how often each of them is likely to buy it."""
