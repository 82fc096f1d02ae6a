"""Publishing a plan that was written by hand: `publish_plan`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytrain import loop
from pytrain import manifest as mf
from pytrain.errors import ConfigError, InputError
from pytrain.plan.golden import FEWEST_ROWS
from pytrain.plan.version import write_version
from pytrain.recipe import NAME, OBJECTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.loop import Learnt
    from pytrain.plan.asking import Column
    from pytrain.plan.graph import Plan


def publish_plan(
    plan: Plan,
    rows: Mapping[str, Column],
    answers: Mapping[str, npt.ArrayLike],
    *,
    store: Path,
    model: str,
    label: str = "value",
) -> Path:
    """Publish a plan as the next version of a model, and return its directory.

    Parameters
    ----------
    rows
        At least 16 golden rows, by the names of the plan's inputs: lists of texts, None where missing, or numbers
        (n, width).
    answers
        What the plan must give for them, by the names of its outputs, (n,) or (n, width), computed without the plan. A
        bidder refuses the version if its own answers differ by more than the plan's tolerance.
    store
        The directory of the model store.
    label
        What is predicted; it is shown, not used.

    Raises
    ------
    ConfigError
        The model's name is no name.
    InputError
        Rows or answers are missing, unknown, too few, of another shape than the plan's inputs and outputs, or no
        numbers of an input's type.
    """
    from pytrain.cli_fit import publish  # noqa: PLC0415 - it imports the command line

    if not re.fullmatch(NAME, model) or model == OBJECTS:
        raise ConfigError(f"{model!r} is no name", where="model", remedy=f"match {NAME}, but not {OBJECTS}, as churn")
    for given, known in ((rows, {v.name for v in plan.inputs}), (answers, plan.outputs.keys())):
        if unknown := [name for name in given if name not in known]:
            raise InputError("is not the plan's", where=unknown[0], remedy=f"give {', '.join(sorted(known))}")
    inputs = {v.name: _column(rows, v.name, v.type, v.width) for v in plan.inputs}
    outputs = {name: _column(answers, name, v.type, v.width) for name, v in plan.outputs.items()}
    counts = {name: len(column) for name, column in [*inputs.items(), *outputs.items()]}
    if len(set(counts.values())) > 1 or min(counts.values()) < FEWEST_ROWS:
        raise InputError(
            f"have {', '.join(f'{name}: {n}' for name, n in counts.items())}",
            where="golden rows",
            remedy=f"give all inputs and outputs the same number of rows, at least {FEWEST_ROWS}",
        )
    writer = _Writer(plan, inputs, outputs, model, label, store / OBJECTS)
    return publish(store, model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))


def _column(given: Mapping[str, Column] | Mapping[str, npt.ArrayLike], name: str, kind: str, width: int) -> Column:
    if name not in given:
        raise InputError("is missing", where=name, remedy=f"give it as {kind}, {width} a row")
    if kind == "text":
        texts = given[name]
        if isinstance(texts, str) or not all(isinstance(t, str | None) for t in texts):  # type: ignore[union-attr]
            raise InputError("is no list of texts", where=name, remedy="give a text a row, None where it is missing")
        return list(texts)  # type: ignore[arg-type]
    array = np.asarray(given[name], np.float64)
    if array.shape[1:] not in ((width,), () if width == 1 else (width,)):
        raise InputError(
            f"has the shape {array.shape}", where=name, remedy=f"give numbers of the shape (rows, {width})"
        )
    if kind == "int32" and not ((np.rint(array) == array) & (np.abs(array) < 2.0**31)).all():
        raise InputError("has a number that int32 does not hold", where=name, remedy="give whole numbers, none missing")
    return array.reshape(-1, width)


@dataclass(frozen=True)
class _Writer:
    plan: Plan
    inputs: Mapping[str, Column]
    outputs: Mapping[str, Column]
    model: str
    label: str
    objects: Path

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        write_version(
            directory,
            self.plan,
            self.inputs,
            self.outputs,  # type: ignore[arg-type] # outputs are numbers
            objects=self.objects,
            described={"model": self.model, "version": version, "label": self.label, "metrics": learnt.metrics},
            trained=mf.TrainedOn(rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms),
        )
