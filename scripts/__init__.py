"""Set-up, the loop, checks and benchmarks."""
