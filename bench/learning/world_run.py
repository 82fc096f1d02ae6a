"""The shipped recipes in the simulated world: gap to the truth, calibration, rows a CPU second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.learning import progressive
from bench.learning.examples import Examples, make
from bench.learning.measures import Against
from bench.learning.plot import draw
from bench.learning.progressive import Predicted, Tell, bar, name_of, recipes_of
from bench.report import Target, finish, say, table
from pytrain.recipe import Recipe, load_recipe
from scripts.loop.settings import ROOT

BEST, WORST, BEHIND_FTRL = 0.016, 0.02, 0.002
CONVERSIONS = 16  # clicks are so much rarer than impressions
FTRL, SKLEARN = "FTRL in NumPy", "scikit-learn, refitted"


def run(*, rows: int, seeds: int, directory: Path, plot: Path | None) -> int:
    """Measure both models' recipes, print, plot, and return the exit status."""
    from pytrain.learner import set_threads  # noqa: PLC0415 - TensorFlow

    set_threads(1)
    clicks = measure("ctr", rows=rows, seeds=seeds, directory=directory)
    conversions = measure("cvr", rows=max(1000, rows // CONVERSIONS), seeds=seeds, directory=directory)
    for title, found in (("P(click | impression)", clicks), ("P(conversion | click)", conversions)):
        show(f"{title}: gap to the truth, %; medians of {seeds} worlds", found)
    picture = directory.parent / "learning.png"
    draw(picture, clicks.learners, rows=clicks.examples)
    say(f"picture: {picture}")
    if plot:
        shutil.copyfile(picture, plot)
    ours = [found.gap for name, (found, _) in clicks.learners.items() if name not in (FTRL, SKLEARN)]
    best, worst = min(ours), max(ours)
    ftrl = clicks.learners[FTRL][0].gap
    figures = {
        "gap_best": best,
        "gap_worst": worst,
        "gap_ftrl": ftrl,
        "gap_sklearn": clicks.learners[SKLEARN][0].gap,
        "examples": clicks.examples,
        "seeds": seeds,
        "ctr": clicks.figures(),
        "cvr": conversions.figures(),
    }
    targets = [
        Target("gap_best", best, BEST, least=False),
        Target("gap_worst", worst, WORST, least=False),
        Target("gap_best_over_ftrl", best - ftrl, BEHIND_FTRL, least=False),
        Target("examples", clicks.examples, 400_000),
    ]
    return finish("learning", figures, targets)


class Found:
    """What was measured of one model: each learner's medians over the worlds, and its rows a CPU second."""

    def __init__(self, examples: int, runs: dict[str, list[tuple[Against, float]]]) -> None:
        self.examples = examples
        self.learners = {
            name: (Against.median([a for a, _ in of]), float(np.median([speed for _, speed in of])))
            for name, of in runs.items()
        }

    def figures(self) -> dict[str, dict[str, object]]:
        """For the JSON line."""
        return {
            name: {**asdict(found), "rows_per_cpu_s": round(speed)} for name, (found, speed) in self.learners.items()
        }


def measure(model: str, *, rows: int, seeds: int, directory: Path) -> Found:
    """Let every learner of a model learn every world."""
    recipes = [load_recipe(path) for path in recipes_of(ROOT / "models" / model)]
    first = recipes[0]
    if any(r.features != first.features for r in recipes):
        raise RuntimeError(f"the recipes in models/{model} differ in their features; give them the same")
    learners: dict[str, tuple[Recipe, Callable[[Recipe, Examples, Tell], Predicted]]] = {
        name_of(r): (r, progressive.by_recipe) for r in recipes
    }
    learners |= {FTRL: (first, progressive.by_ftrl), SKLEARN: (first, progressive.by_sklearn)}
    runs: dict[str, list[tuple[Against, float]]] = {name: [] for name in learners}
    count = 0
    for seed in range(1, seeds + 1):
        say(f"{model}: writing {rows:,} examples of world {seed}")
        examples = make(recipes_of(ROOT / "models" / model)[0], directory / model, rows=rows, seed=seed)
        count = len(examples)
        for name, (recipe, learn) in learners.items():
            with bar(f"{model}, world {seed}: {name}", count) as tell:
                predicted = learn(recipe, examples, tell)
            runs[name].append((Against.truth(examples.truth, predicted.p), predicted.rows_per_cpu_s))
        shutil.rmtree(directory / model)
    return Found(count, runs)


def show(title: str, found: Found) -> None:
    """Print a table, a row for each learner."""
    rows = []
    for name, (a, speed) in found.learners.items():
        gaps = [f"{100 * g:.1f}" for g in a.gaps]
        low, high = min(a.calibrations[1:]), max(a.calibrations[1:])
        rows.append([name, " ".join(gaps), f"{100 * a.gap:.2f}", f"{low:.3f} to {high:.3f}", f"{speed:,.0f}"])
    columns = ["learner", "by tenth of the rows", "second half", "calibration, tenths 2 to 10", "rows a CPU s"]
    table(title, columns, rows)
