"""Tuning for operators: settings measured against each other on a real bidder, and the best of them written down.

`scripts/tune_batch.py` and `scripts/tune_latency.py` are the commands. A run is a plan (what to measure, from the
options and from what they name), a journal (every measurement as it was made, so that a run can go on where it
stopped), a race (all settings once, then the better ones again, in rounds), a choice, its verification, and a report.
"""
