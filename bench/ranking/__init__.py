"""`make bench-ranking`: rankings of thousands of campaigns, and the figures of the paper that they follow."""
