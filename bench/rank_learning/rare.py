"""Rare sales: the share of the learnable gain that each trainer finds, and its calibration.

The learnable gain is the expected log loss of the best constant of each campaign less that of the truth. Expectations
are over the labels, by the true probabilities, so chance in the evaluation's labels plays no part.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.rank_learning import scoring
from bench.rank_learning.world import FIELDS, World
from bench.report import say
from pytrain.ranking import solver

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

CAMPAIGNS = 24
RATES = (1e-5, 1e-3)
EVALUATED = 20_000  # rows of a campaign

_FEATURES = "features: [" + ", ".join(f"{{name: {name}}}" for name in FIELDS) + "]\n"
RECIPES = {
    "prior": _FEATURES + "trainer: {kind: prior}\n",
    "independent": _FEATURES + "data: {min_positives: 1}\ntrainer: {kind: scikit-learn}\n",
}


@dataclass(frozen=True)
class Found:
    """Of one trainer in one world: share of the gain, predicted by expected sales; both also by campaign (24,)."""

    share: float
    calibration: float
    shares: Floats
    calibrations: Floats
    seconds: float


def run(*, seed: int, rows: int, directory: Path, jobs: int) -> dict[str, Found]:
    """Write a world, let all trainers learn it, evaluate them."""
    shutil.rmtree(directory, ignore_errors=True)
    rates = np.geomspace(*RATES, CAMPAIGNS)
    world = World(rates.tolist(), seed=seed)
    data = directory / "data"
    sales = []
    for c in range(CAMPAIGNS):
        drawn = world.rows(c, rows, stream=0)
        world.write(data, drawn)
        sales.append(int(drawn.label.sum()))
    say(f"world {seed}: {CAMPAIGNS} campaigns of {rows:,} rows with {min(sales)} to {max(sales)} sales")
    found = {}
    for name, settings in RECIPES.items():
        out = directory / name
        done = scoring.train(data, out, settings.encode(), name=f"world {seed}: {name}", jobs=jobs)
        if done.failed or done.unreadable:
            raise RuntimeError(f"{name}: {done.failed or done.unreadable}")
        found[name] = evaluate(world, scoring.Directory(out), sales, rows, done.seconds)
    shutil.rmtree(directory)
    return found


def evaluate(world: World, directory: scoring.Directory, sales: list[int], rows: int, seconds: float) -> Found:
    """Compare a directory's probabilities with the truth on rows that were not learnt."""
    gains = np.empty((len(sales), 2))  # of the model, of the truth
    sums = np.empty((len(sales), 2))  # of the predicted and the true probabilities
    for c, sold in enumerate(sales):
        drawn = world.rows(c, EVALUATED, stream=1)
        columns = {name: np.array([f"{name}-{v}" for v in codes], object) for name, codes in drawn.codes.items()}
        z = directory.logits(drawn.campaign, columns)
        if z is None:  # no sale was seen: the campaign's rate, half a sale
            z = np.full(EVALUATED, np.log(max(sold, 0.5) / rows))
        truth, ones = solver.sigmoid(drawn.logit), np.ones(EVALUATED)
        constant = solver.loss(np.full(EVALUATED, solver.shift(np.zeros(EVALUATED), truth, ones)), truth, ones)
        gains[c] = constant - solver.loss(z, truth, ones), constant - solver.loss(drawn.logit, truth, ones)
        sums[c] = solver.sigmoid(z).sum(), truth.sum()
    share, calibration = (float(a[:, 0].sum() / a[:, 1].sum()) for a in (gains, sums))
    return Found(share, calibration, gains[:, 0] / gains[:, 1], sums[:, 0] / sums[:, 1], seconds)
