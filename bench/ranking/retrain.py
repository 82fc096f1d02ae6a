"""How many classifiers a minute `pytrain rank train` retrains on all cores."""

from __future__ import annotations

from pathlib import Path

from bench.rank_learning import fleet
from bench.ranking.keys import Found


def run(directory: Path, found: Found, *, campaigns: int, rows: int, jobs: int) -> None:
    """Train, add a file to each data set, and train again."""
    told = fleet.run(campaigns=campaigns, rows=rows, directory=directory, jobs=jobs)
    found.values["retrained_per_minute"] = told.a_minute
    found.raw["retrain"] = {**told.__dict__, "jobs": jobs}
