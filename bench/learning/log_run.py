"""The learners on a real log, where no truth is known: log loss against FTRL's and the prior's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.learning import progressive
from bench.learning.examples import make
from bench.learning.progressive import bar, name_of
from bench.report import finish, say, table
from pytrain.metrics import calibration, log_loss, normalized_entropy
from pytrain.recipe import load_recipe
from scripts.loop.processes import LoopError
from scripts.loop.runner import Plan

PRIOR_ROWS = 200  # what the recipe's base rate weighs, before labels are known


def run(data: Path, *, rows: int, directory: Path) -> int:
    """Measure the log's recipe, print, and return the exit status."""
    from pytrain.learner import set_threads  # noqa: PLC0415 - TensorFlow

    try:
        plan = Plan.of_replay(data, rate=1, duration_s=None)
    except LoopError as error:
        say(f"bench: {error}")
        return 1
    set_threads(1)
    path = plan.recipes[0]
    recipe = load_recipe(path)
    say(f"writing the examples of {data}")
    examples = make(path, directory / "log", rows=rows, seed=1, data=data.resolve(), campaigns=plan.campaigns)
    learners = {
        name_of(recipe): progressive.by_recipe,
        "FTRL in NumPy": progressive.by_ftrl,
        "scikit-learn, refitted": progressive.by_sklearn,
    }
    half = slice(len(examples) // 2, None)
    y = examples.y[half]
    figures: dict[str, dict[str, float]] = {}
    for name, learn in learners.items():
        with bar(name, len(examples)) as tell:
            predicted = learn(recipe, examples, tell)
        figures[name] = of(y, predicted.p[half]) | {"rows_per_cpu_s": round(predicted.rows_per_cpu_s)}
    figures["prior"] = of(y, prior(examples.y, recipe.training.base_rate)[half])
    lines = [
        [name, *(f"{f[k]:.5f}" for k in ("log_loss", "normalized_entropy", "calibration"))]
        for name, f in figures.items()
    ]
    table(
        f"{data.resolve().name}: second half of {len(examples):,} examples",
        ["learner", "log loss", "normalised entropy", "calibration"],
        lines,
    )
    return finish("learning", {"data": data.resolve().name, "examples": len(examples), "learners": figures}, [])


def of(y: npt.NDArray[np.float32], p: npt.NDArray[np.floating]) -> dict[str, float]:
    """The measures of predictions p (n,) against labels y (n,)."""
    return {
        "log_loss": log_loss(y, p),
        "normalized_entropy": normalized_entropy(y, p),
        "calibration": calibration(y, p),
    }


def prior(y: npt.NDArray[np.float32], base_rate: float) -> npt.NDArray[np.float64]:
    """What a constant could know before each row (n,): the rate of the rows before it."""
    seen = np.cumsum(y, dtype=np.float64) - y
    return np.asarray((seen + base_rate * PRIOR_ROWS) / (np.arange(len(y)) + PRIOR_ROWS))
