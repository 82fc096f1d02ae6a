"""Gavel's prediction endpoint compared with other model servers: same model, load and cores."""
