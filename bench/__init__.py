"""Benchmarks of the bidder. Each measures both sides in one run and prints a ratio."""
