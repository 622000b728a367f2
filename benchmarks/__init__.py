"""Benchmarks: ``python -m benchmarks NAME``. Every figure is a ratio to a peer in one run."""
