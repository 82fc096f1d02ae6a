"""Learners of all kinds over the same rows: each predicts before it learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.learning import reference
from bench.report import progress as stderr

if TYPE_CHECKING:
    from bench.learning.examples import Examples
    from pytrain.recipe import Recipe

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Predicted:
    """What one learner predicted of every row before it learnt from it."""

    p: npt.NDArray[np.floating]  # (n,)
    cpu_s: float

    @property
    def rows_per_cpu_s(self) -> float:
        return len(self.p) / self.cpu_s


def by_recipe(recipe: Recipe, examples: Examples, tell: Tell) -> Predicted:
    """Learn with pytrain's own learner, in the batches that the trainer makes."""
    from pytrain.learner import Learner  # noqa: PLC0415 - TensorFlow

    learner = Learner(recipe)
    p = np.empty(len(examples), np.float32)
    w = np.ones(len(examples), np.float32)
    size = recipe.training.batch_rows
    begin = time.process_time()
    for i in range(0, len(examples), size):
        part = slice(i, i + size)
        p[part] = learner.learn(examples.x[part], examples.y[part], w[part])
        tell(len(p[part]))
    return Predicted(p, time.process_time() - begin)


def by_ftrl(recipe: Recipe, examples: Examples, tell: Tell) -> Predicted:
    """FTRL-proximal in NumPy on the recipe's indices."""
    return Predicted(
        *reference.by_ftrl(
            examples.x,
            examples.y,
            table_rows=recipe.space.table_rows,
            base_rate=recipe.training.base_rate,
            tell=tell,
        )
    )


def by_sklearn(recipe: Recipe, examples: Examples, tell: Tell) -> Predicted:
    """Fit scikit-learn's logistic regression on the recipe's indices ten times."""
    return Predicted(*reference.by_sklearn(examples.x, examples.y, base_rate=recipe.training.base_rate, tell=tell))


def name_of(recipe: Recipe) -> str:
    """What a recipe's learner is called in tables, as in "deepfm lazy_adam"."""
    return f"{recipe.architecture.kind} {recipe.optimizer.kind}"


def recipes_of(directory: Path) -> list[Path]:
    """The recipes of one model: recipe.yaml, which is the default, then the alternatives beside it."""
    return sorted(directory.glob("*.yaml"), key=lambda path: (path.name != "recipe.yaml", path.name))


@contextmanager
def bar(title: str, rows: int) -> Iterator[Tell]:
    """Show how far a learner has come, on stderr; yields what is told how many rows more are done."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as shown:
        task = shown.add_task(title, total=rows)
        yield lambda n: shown.update(task, advance=n)
