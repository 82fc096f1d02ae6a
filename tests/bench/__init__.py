"""The benchmarks themselves: their arithmetic, and a short run of each."""
