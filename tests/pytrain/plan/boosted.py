"""What the tests of LightGBM and XGBoost share: data with edges, and rows at every threshold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytrain.plan.graph import Plan
from tests.pytrain.plan.reference import run

if TYPE_CHECKING:
    from pytrain.plan.importing import Model

# Models with given predictions, trained elsewhere. The variable is the directory of all such data.
SHARED = Path(os.environ.get("GAVEL_TEST_DATA", Path(__file__).parents[4] / "shared/data")) / "trees"


def shared(name: str) -> Path:
    """Return a file of the given models, or skip the test."""
    if not (path := SHARED / name).exists():
        pytest.skip(f"there is no {path}; set GAVEL_TEST_DATA to the directory that holds trees/")
    return path


def data(n: int = 600, *, missing: bool = False, zeros: bool = False, categories: int = 0, seed: int = 0) -> Any:
    """Return rows (n, 5): normal numbers, whole numbers, and maybe categories in the last column."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[:, 1] = rng.integers(-4, 5, n)
    if zeros:
        x[rng.random(x.shape) < 0.3] = 0
    if categories:
        x[:, 4] = rng.integers(0, categories, n)
    if missing:
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def amounts(x: Any) -> Any:
    """Return what depends on all columns, and on which values are missing, 0, or of some category."""
    y = np.nan_to_num(x) @ [1, 0.5, -1, 0.2, 0] + np.isnan(x) @ [1, -2, 0, 3, -1]
    return y + (x == 0) @ [1, 0, -1, 2, 0] + np.sin(np.nan_to_num(x[:, 4]) * 5) * 2


SPECIAL = (
    0.0, -0.0, np.nan, 5e-324, -5e-324, 1e-310, 1e-36, -1e-36, float(np.float32(1e-35)), -float(np.float32(1e-35)),
    float(np.nextafter(np.float32(1e-35), np.float32(1))), 1e-34, -1e-34, -0.5, -0.9999999, -1.0, 0.5, 3.999, 1e9, -1e9,
    2147483648.0, 4294967296.0, 16777216.0, 1e19, 255.0, 256.0, 1e300, -1e300,
)  # fmt: skip


def edges(plan: Plan, x: Any, *, single: bool = False, special: tuple[float, ...] = SPECIAL) -> Any:
    """Return rows of x with a threshold, a neighbour of one, a category or a special number in one place."""
    trees = next(node for node in plan.nodes if node.op == "trees").tensors
    inner = trees["feature"].array >= 0
    thresholds, features = trees["threshold"].array[inner], trees["feature"].array[inner]
    kind = np.float32 if single else np.float64
    with np.errstate(over="ignore"):
        t = thresholds.astype(kind)
        near = [t, np.nextafter(t, kind(np.inf)), np.nextafter(t, kind(-np.inf))]
    width = x.shape[1]
    values = np.concatenate([*near, np.repeat(special, width), np.repeat(np.arange(-2.0, 80), width)])
    columns = np.concatenate([features] * 3 + [np.arange(width)] * (len(special) + 82))
    rows = x[np.random.default_rng(0).integers(0, len(x), len(values))].copy()
    rows[np.arange(len(rows)), columns] = values
    return np.concatenate([x, rows])


def output(model: Model, name: str, x: Any) -> tuple[Any, Any]:
    """Return an output of the plan (n, k), and which rows are refused."""
    plan = model.plan
    given = {"x": x} if model.plan.inputs[0].name == "x" else {v.name: x[v.name] for v in plan.inputs}
    got, refused = run(plan, given)
    return got[name], refused


def raw(model: Model, x: Any) -> tuple[Any, Any]:
    """Return the sums of the trees (n, k), and which rows are refused."""
    node = next(node for node in model.plan.nodes if node.op == "trees")
    plan = Plan(inputs=model.plan.inputs, outputs={"raw": node})
    given = {"x": x} if plan.inputs[0].name == "x" else {v.name: x[v.name] for v in plan.inputs}
    got, refused = run(plan, given)
    return got["raw"], refused
