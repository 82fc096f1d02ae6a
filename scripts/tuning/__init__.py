"""Settings found by measuring: what scripts/tune_batch.py and scripts/tune_latency.py are made of."""
