"""Train a directory of data sets by a recipe, and let the classifier files predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.report import progress as stderr
from pytrain.ranking import files, recipe
from pytrain.ranking.classifier import SEPARATOR, Classifier, escape
from pytrain.ranking.manager import Manager, Round

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]


def train(data: Path, out: Path, settings: bytes, *, name: str, jobs: int) -> Round:
    """Train all campaigns, with a bar on stderr."""
    manager = Manager(data, out, recipe.parse(settings, where=name), jobs=jobs)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=stderr, transient=True) as bar:
            task = bar.add_task(name, total=None)
            return manager.round(
                tell=lambda what: bar.update(task, description=f"{name}: {what}"),
                started=lambda n: bar.update(task, description=name, total=n),
                ended=lambda _: bar.advance(task),
            )
    finally:
        manager.close()


class Directory:
    """The classifiers of a directory."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.priors = {p.version: p for p in map(files.read, files.priors(out))}
        self.newest = self.priors[max(self.priors)] if self.priors else None

    def logits(self, campaign: str, columns: Mapping[str, npt.NDArray[Any]]) -> Floats | None:
        """Return the logits (n,) of rows whose fields are texts (n,); None if nothing can rank the campaign."""
        path = self._out / f"{escape(campaign)}{files.SUFFIX}"
        if not path.exists():
            return None if self.newest is None else _logits(self.newest, columns)
        found = files.read(path)
        z = _logits(found, columns)
        return z + _logits(self.priors[found.prior], columns) if found.prior else z


def _logits(classifier: Classifier, columns: Mapping[str, npt.NDArray[Any]]) -> Floats:
    n = len(next(iter(columns.values())))
    z = np.full(n, classifier.intercept)
    for f in classifier.features:
        joined: Sequence[str] = (
            columns[f.of[0]].tolist()
            if len(f.of) == 1
            else [SEPARATOR.join(parts) for parts in zip(*(columns[o].tolist() for o in f.of), strict=True)]
        )
        values, places = np.unique(np.array(joined, object), return_inverse=True)
        z += np.array([f.weight(v) for v in values.tolist()])[places]
    return z
