"""Correctness: every row of the test sets through the engine, in batches and alone, beside the library that trained."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import lightgbm
import msgpack
import numpy as np
import numpy.typing as npt
import xgboost
from rich.progress import track

from bench.plans import fleets
from bench.plans.data import Rows
from bench.plans.fleets import BUILD, Fleet
from bench.plans.keys import Found
from bench.plans.sides import gavel
from bench.report import progress, say
from pytrain.plan import lightgbm as lightgbm_files
from pytrain.plan import xgboost as xgboost_files
from pytrain.plan.columns import read_columns

Outputs = dict[str, npt.NDArray[np.float64]]
# What the library answers for a model, a table and outputs: of all rows together, or of some rows, each asked alone.
Answers = Callable[[str, str, list[str], npt.NDArray[np.int64] | None], Outputs]
METHODS = {"probability": "predict_proba", "decision": "decision_function", "class": "predict", "value": "predict"}
TREES, OTHERS = 1e-12, 1e-6  # relative where a number is beyond 1


def run(sets: dict[str, Rows], all_: dict[str, Fleet], directory: Path | None, found: Found) -> None:
    """Compare all models of the fleets, and the given trees where there are some."""
    totals = {"rows": 0, "models": 0, "beyond": 0, "beyond_undecided": 0, "not_alone": 0}
    worst: dict[str, Any] = {}
    for fleet in all_.values():
        answers = _fitted(fleet, sets)
        worst[fleet.name] = _compare(fleet, fleet.file, answers, OTHERS, totals)
    if directory is not None:
        given = _given(directory / "trees", found)
        worst["given trees"] = _compare(given[0], given[0].file, given[1], TREES, totals)
    found.values |= {
        "rows_beyond_tolerance": totals["beyond"],
        "rows_compared": totals["rows"],
        "models_compared": totals["models"],
    }
    found.raw["correct"] = totals | {"worst": worst}
    say(
        f"{totals['rows']:,} rows of {totals['models']} models: {totals['beyond']} beyond the tolerance, "
        f"{totals['beyond_undecided']} of them answered alike by scikit-learn when they are asked alone, "
        f"{totals['not_alone']} models whose rows alone differ from those in batches; differences {worst}"
    )


def _compare(
    fleet: Fleet,
    file: Path,
    answers: Answers,
    tolerance: float,
    totals: dict[str, int],
) -> float:
    """Compare a fleet's models, and return the largest difference."""
    worst = 0.0
    with gavel("score", file) as side, tempfile.TemporaryDirectory(dir=BUILD) as directory:
        for name, table in track(fleet.models, f"{fleet.name}: comparing", console=progress, transient=True):
            together, alone = (_score(side, name, batch, Path(directory) / "out") for batch in (128, 1))
            totals["not_alone"] += any(together[n].tobytes() != alone[n].tobytes() for n in together)
            off = difference(together, answers(name, table, list(together), None))
            rows = np.flatnonzero(off > tolerance)
            beyond = len(rows)
            if beyond:
                row = int(off.argmax())
                say(f"{name}: {beyond} rows beyond {tolerance:g}; row {row} by {off[row]:.3g}")
                ours = {n: values[rows] for n, values in together.items()}
                undecided = difference(ours, answers(name, table, list(together), rows)) <= tolerance
                totals["beyond_undecided"] += int(undecided.sum())
            totals["rows"] += len(off)
            totals["models"] += 1
            totals["beyond"] += beyond
            worst = max(worst, float(off.max()))
    return worst


def _score(side: Any, model: str, batch: int, out: Path) -> Outputs:
    side.ask(model=model, batch=batch, out=str(out))
    return cast("Outputs", read_columns(msgpack.unpackb(out.read_bytes())["outputs"]))


def difference(got: Outputs, want: Outputs) -> npt.NDArray[np.float64]:
    """Return each row's largest difference (n,), relative where a number is beyond 1; infinite if it is refused."""
    rows = []
    for name, b in want.items():
        a = got[name]
        with np.errstate(invalid="ignore"):
            off = np.abs(a - b) / np.maximum(1, np.abs(b))
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, off)
        rows.append(np.nan_to_num(off, nan=np.inf).max(axis=1))
    return cast("npt.NDArray[np.float64]", np.max(rows, axis=0))


def _fitted(fleet: Fleet, sets: dict[str, Rows]) -> Answers:
    """Return what asks the fitted pipelines."""

    def answers(name: str, table: str, names: list[str], alone: npt.NDArray[np.int64] | None) -> Outputs:
        fitted = pickle.loads((fleet.directory / "fitted" / f"{name}.pickle").read_bytes())  # noqa: S301 - ours

        def ask(output: str, rows: Any) -> npt.NDArray[np.float64]:
            given = getattr(fitted, METHODS[output])(rows)
            if output == "class":
                given = np.searchsorted(fitted.classes_, given)
            return np.asarray(given, np.float64).reshape(len(rows), -1)

        rows = sets[table].test
        parts = [rows] if alone is None else [rows[i : i + 1] for i in alone]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {n: np.vstack([ask(n, part) for part in parts]) for n in names}

    return answers


def _given(directory: Path, found: Found) -> tuple[Fleet, Answers]:
    """Port the tree models from elsewhere, with their given predictions; LightGBM's where a file has none."""
    cancer = np.loadtxt(directory / "breast_cancer_test.tsv")
    models: dict[str, tuple[Any, npt.NDArray[np.float64], Any]] = {
        "lgmulticlass": (
            lightgbm_files.read(directory / "lgmulticlass.model"),
            np.loadtxt(directory / "multiclass_test.tsv")[:, 1:],
            np.loadtxt(directory / "lgmulticlass_true_predictions.txt"),
        ),
        "lg_breast_cancer": (
            lightgbm_files.read(directory / "lg_breast_cancer.txt"),
            cancer,
            lightgbm.Booster(model_file=directory / "lg_breast_cancer.txt").predict(cancer),
        ),
    }
    booster = xgboost.Booster()
    try:
        booster.load_model(directory / "xgagaricus.model")
        parsed = xgboost_files.parse(bytes(booster.save_raw("json")), where="xgagaricus")
        rows = _libsvm(directory / "agaricus_test.libsvm", booster.num_features())
        models["xgagaricus"] = (parsed, rows, np.loadtxt(directory / "xgagaricus_true_predictions.txt"))
    except xgboost.core.XGBoostError:
        found.raw["xgagaricus"] = (
            f"XGBoost {xgboost.__version__} does not read xgagaricus.model, of its old binary format"
        )
        say(found.raw["xgagaricus"])
    home = Path(tempfile.mkdtemp(dir=BUILD))
    for name, (model, _, _) in models.items():
        fleets.port(name, model, home / "store")
    fleets.finish(home, [{"name": n, "table": n} for n in models], {n: rows for n, (_, rows, _) in models.items()})

    def answers(name: str, _table: str, _names: list[str], only: npt.NDArray[np.int64] | None) -> Outputs:
        predictions = np.asarray(models[name][2], np.float64).reshape(len(models[name][1]), -1)
        predictions = predictions if only is None else predictions[only]
        if predictions.shape[1] == 1:
            predictions = np.hstack([1 - predictions, predictions])
        return {"probability": predictions}

    return Fleet("given trees", home, [(n, n) for n in models]), answers


def _libsvm(path: Path, width: int) -> npt.NDArray[np.float64]:
    """Read rows whose missing columns are missing values."""
    lines = [line.split()[1:] for line in path.read_text().splitlines()]
    x = np.full((len(lines), width), np.nan)
    for i, line in enumerate(lines):
        for entry in line:
            column, _, value = entry.partition(":")
            x[i, int(column)] = float(value)
    return x
