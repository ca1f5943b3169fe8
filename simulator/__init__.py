"""Simulate Bybit V5 offline: same paths, signatures, limits and codes, with faults on demand."""
