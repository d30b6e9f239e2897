"""What `benchmarks.ranker` measures, by kind of data."""
