"""One script per claim, each run as `python -m benchmarks.NAME`; the last line on stdout is one JSON object."""
