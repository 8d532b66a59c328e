"""Programs that measure how fast things are, beside a peer in the same run: `python -m benchmarks.NAME --help`."""
