"""Benchmarks: `python -m benchmarks` measures, against peers in the same run on the same servers."""
