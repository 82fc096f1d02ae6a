"""What the tests of importers share: data, and the comparison of a plan with scikit-learn."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pytrain.plan import read_plan, write_plan
from pytrain.plan.asking import expected
from pytrain.plan.golden import candidates
from pytrain.plan.importing import Model, import_model
from pytrain.plan.steady import steady
from tests.pytrain.plan.reference import run

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS = 160


def numbers(n: int = ROWS, width: int = 4, *, missing: bool = False, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)) * [1, 3, 10, 0.2][:width] + [0, 1, -5, 3][:width]
    x[:, 0] = x[:, 0].round()
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def table(n: int = ROWS, *, missing: Any = None, seed: int = 0) -> pd.DataFrame:
    """Two columns of text, one of them maybe with missing values, one of small integers, one of numbers."""
    rng = np.random.default_rng(seed)
    city = np.array(["Oslo", "Łódź", "São Paulo", "a much longer name", missing or "x"], object)
    if missing is not None:
        city[-1] = None if missing == "None" else np.nan
    frame = pd.DataFrame(
        {
            "city": pd.Series(rng.choice(city, n, p=[0.4, 0.3, 0.2, 0.06, 0.04]), dtype=object),
            "kind": pd.Series(rng.choice(np.array(["a", "b", "c"], object), n), dtype=object),
            "size": rng.integers(0, 6, n),
            "price": rng.gamma(2, 3, n),
        }
    )
    if missing is not None:
        frame.loc[rng.random(n) < 0.1, "price"] = np.nan
    return frame


def targets(n: int = ROWS, classes: int = 2, *, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, classes, n)


def amounts(n: int = ROWS, *, seed: int = 1) -> Any:
    return np.random.default_rng(seed).gamma(2, 2, n)


@dataclass(frozen=True)
class Comparison:
    """A plan beside scikit-learn.

    Attributes
    ----------
    rows
        The rows asked, by the names of the plan's inputs.
    want, refused
        scikit-learn's outputs by name, and which rows it refuses (n,).
    steady
        The rows (n,) that count.
    worst
        The largest difference, by the reference.
    """

    model: Model
    rows: dict[str, Any]
    want: dict[str, Any]
    refused: Any
    steady: Any
    worst: float

    @property
    def answered(self) -> int:
        """The rows that were compared."""
        return int((self.steady & ~self.refused).sum())

    def by_engine(self, outputs: Mapping[str, Any], refused: Any) -> float:
        """Return the largest difference of other outputs; infinity if other rows were refused."""
        if (self.steady & (refused != self.refused)).any():
            return float("inf")
        return differences(outputs, self.want, self.steady & ~self.refused)


def inputs_of(model: Model, data: Any) -> dict[str, Any]:
    """Return rows of the fitted data as inputs of the plan."""
    given: dict[str, Any] = {}
    for value in model.plan.inputs:
        if not model.columns:
            column = data
        elif value.width == len(model.columns) and not model.named and value.name == "x":
            given["x"] = np.asarray(data, np.float64)
            continue
        elif model.named:
            column = data[value.name]
        else:
            column = np.asarray(data, object)[:, model.columns.index(value.name)]
        if value.type == "text":
            given[value.name] = [t if isinstance(t, str) else None for t in column]
        else:
            given[value.name] = np.asarray(column, np.float64).reshape(-1, 1)
    return given


def joined(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    return {n: [*a[n], *b[n]] if isinstance(a[n], list) else np.concatenate([a[n], b[n]]) for n in a}


def differences(got: Mapping[str, Any], want: Mapping[str, Any], rows: Any) -> float:
    """Return the largest difference of the chosen rows, relative where numbers are beyond 1; NaN equals NaN."""
    worst = 0.0
    for name, wanted in want.items():
        a, b = got[name][rows], wanted[rows]
        with np.errstate(invalid="ignore"):
            off = np.abs(a - b) / np.maximum(1, np.abs(b))
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, off)
        worst = max(worst, float(np.nan_to_num(off, nan=np.inf).max(initial=0)))
    return worst


def compare(estimator: Any, data: Any, *, most: int = 200, data_rows: int = 50) -> Comparison:
    """Port a fitted estimator, write and read the plan, and compare rows at its edges, and of the data."""
    model = import_model(estimator, file="model.skops")
    with tempfile.TemporaryDirectory() as directory:
        write_plan(model.plan, Path(directory), Path(directory) / "objects")
        plan = read_plan(Path(directory), Path(directory) / "objects")
    rows = candidates(plan, np.random.default_rng(0), most=most)
    rows = joined(rows, inputs_of(model, data[:data_rows]))
    got, refused = run(plan, rows)
    want, answered = expected(model, rows, doubtful=refused)
    kept = steady(model, rows, want, answered)
    differ = np.flatnonzero(kept & (answered == refused))
    assert not len(differ), (
        f"{'answered' if answered[differ[0]] else 'refused'} by scikit-learn only: "
        f"{ {name: column[differ[0]] for name, column in rows.items()} }"
    )
    worst = differences(got, want, kept & answered)
    return Comparison(model, rows, want, ~answered, kept, worst)


def assert_equal(estimator: Any, data: Any, *, at_least: int = 100) -> Model:
    found = compare(estimator, data)
    assert found.worst <= found.model.plan.tolerance, f"off by {found.worst:.3g}"
    assert found.answered >= at_least, f"only {found.answered} rows are answered"
    return found.model
