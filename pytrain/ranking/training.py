"""One campaign's turn, in whichever process has it: read, fit, calibrate, write the file.

A job and its outcome are pickled. A fault of one campaign is an outcome, never an exception.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytrain.errors import ClassifierError, ConfigError, DataSetError, InputError
from pytrain.ranking import datasets, files, fitting

if TYPE_CHECKING:
    from pathlib import Path

    from pytrain.ranking.classifier import Classifier
    from pytrain.ranking.datasets import Counts, DataSet
    from pytrain.ranking.recipe import RankRecipe
    from pytrain.ranking.trainers import Shared

Status = Literal["trained", "too_small", "unreadable", "failed", "unwritten"]


@dataclass(frozen=True)
class Job:
    """One campaign to train. `path` is where its classifier's file is, or will be; `counts` is of the data."""

    data_set: DataSet
    digest: bytes
    path: Path
    label: str  # the trainer, for the file
    counts: Counts


@dataclass(frozen=True)
class Outcome:
    """What became of a job. `message` says why it was not trained, `warnings` what its user should know.

    `too_small`: the data are too few; a classifier of earlier data is removed. `failed`: the same data would fail
    again. `unreadable`: they may be readable later. `unwritten`: the disk refused.
    """

    name: str
    status: Status
    message: str = ""
    rows: int = 0
    positives: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def train(job: Job, recipe: RankRecipe, shared: Shared) -> Outcome:
    """Train one campaign and write its classifier."""
    try:
        return _train(job, recipe, shared)
    except InputError as e:
        return Outcome(job.data_set.name, "unreadable" if isinstance(e, DataSetError) else "failed", str(e))
    except (ConfigError, OSError) as e:  # the disk is full, or the directory is not ours
        return Outcome(job.data_set.name, "unwritten", str(e))


def _train(job: Job, recipe: RankRecipe, shared: Shared) -> Outcome:
    begin = time.perf_counter()
    name = job.data_set.name
    examples = datasets.read(job.data_set, recipe.fields).take(slice(-recipe.data.max_rows, None))
    rows, positives = len(examples), int(examples.label.sum())
    data = recipe.data
    if rows < max(1, data.min_rows) or positives < data.min_positives:
        job.path.unlink(missing_ok=True)
        return Outcome(name, "too_small", f"{rows} rows, {positives} sales", rows, positives)
    previous = _previous(job.path)
    prior = files.read_prior(shared.prior) if shared.prior else None
    weight = fitting.effective_weights(examples.weight, most=data.max_weight)
    fit = recipe.trainer.fit(examples, weight, features=recipe.features, shared=shared, previous=previous)
    now_ms = time.time_ns() // 1_000_000
    found = fitting.classifier(
        fit,
        examples,
        weight,
        calibration=recipe.calibration,
        prior=prior,
        trainer=job.label,
        data=job.digest,
        version=max(now_ms, previous.version + 1 if previous else 1),
        now_ms=now_ms,
    )
    files.write(job.path.parent, found)
    return Outcome(name, "trained", "", rows, positives, time.perf_counter() - begin, fit.warnings)


def _previous(path: Path) -> Classifier | None:
    try:
        return files.read(path) if path.exists() else None
    except ClassifierError:
        return None  # a damaged file is replaced
