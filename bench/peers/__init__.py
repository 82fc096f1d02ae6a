"""Gavel's prediction endpoint beside the model servers one could use instead: same model, load and cores."""
