"""Benchmarks of the bidder: each measures both sides in one run and prints a ratio."""
