"""Side-by-side benchmarks against peers: `make bench`, or `python -m bench --help`."""
