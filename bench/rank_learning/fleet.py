"""How many classifiers a minute are retrained: all campaigns have a new file, the prior is kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.rank_learning import scoring
from bench.rank_learning.world import World
from bench.report import say

FIELDS = {"device": 600, "system": 12, "browser": 20, "provider": 800, "country": 200, "language": 60}
FIELDS |= {"hour": 24, "weekday": 7, "city": 1000, "publisher": 500, "placement": 300, "screen": 80}
RECIPE = (
    "features: ["
    + ", ".join(f"{{name: {name}}}" for name in FIELDS)
    + "]\ntrainer: {kind: prior, l2: 3, intercept_l2: 0.3, refit_growth: 10}\n"
)


@dataclass(frozen=True)
class Found:
    """The round that is measured."""

    campaigns: int
    rows: int
    seconds: float

    @property
    def a_minute(self) -> float:
        return 60 * self.campaigns / self.seconds


def run(*, campaigns: int, rows: int, directory: Path, jobs: int) -> Found:
    """Train once, add a file to each data set, and measure the second round."""
    shutil.rmtree(directory, ignore_errors=True)
    world = World(np.geomspace(1e-4, 1e-2, campaigns).tolist(), seed=1, fields=FIELDS)
    say(f"writing {campaigns} campaigns of {rows:,} rows")
    for c in range(campaigns):
        world.write(directory / "data", world.rows(c, rows - rows // 10, stream=0))
    scoring.train(directory / "data", directory / "out", RECIPE.encode(), name="first round", jobs=jobs)
    for c in range(campaigns):
        world.write(directory / "data", world.rows(c, rows // 10, stream=2), day=1)
    done = scoring.train(directory / "data", directory / "out", RECIPE.encode(), name="second round", jobs=jobs)
    if done.trained != campaigns:
        raise RuntimeError(f"{done.trained} of {campaigns} campaigns were trained: {done.failed or done.unreadable}")
    shutil.rmtree(directory)
    return Found(campaigns, rows, done.seconds)
