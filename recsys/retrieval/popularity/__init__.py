"""Lists of popular items: counted, scored, kept per group of users, and served; for retrievers that need them."""
