"""Asking scikit-learn what a plan should answer."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pytrain.plan.importing import Model

    Column: TypeAlias = list[str | None] | npt.NDArray[np.float64]  # texts (n,), or numbers (n, width)

_FEW = 6


def expected(
    model: Model, rows: Mapping[str, Column], *, doubtful: npt.NDArray[np.bool_] | None = None
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    """Ask scikit-learn for the plan's outputs.

    Parameters
    ----------
    rows
        Values of each input by its name: texts with None where missing, or float64 (n, width).
    doubtful
        Rows (n,) that are probably refused: only a few of them are asked, one by one, and the others count as refused.
        What fails costs time: the rows beside it are asked again.

    Returns
    -------
    The outputs (n, width) by name, and which rows scikit-learn answers (n,); it refuses the others.
    """
    whole = _table(model, rows)
    n = len(whole)
    answered = np.zeros(n, bool)
    outputs = {name: np.full((n, value.width), np.nan) for name, value in model.plan.outputs.items()}
    groups = [np.arange(n)]
    if doubtful is not None:
        groups = [np.flatnonzero(~doubtful), *np.flatnonzero(doubtful)[:_FEW, None]]
    while groups:  # halves of what fails, until only the rows that fail are left
        group = groups.pop()
        if not len(group):
            continue
        try:
            found = _ask(model, whole.iloc[group] if isinstance(whole, pd.DataFrame) else whole[group])
        except (ValueError, TypeError):
            groups += np.array_split(group, 2) if len(group) > 1 else []
            continue
        answered[group] = True
        for name, array in found.items():
            outputs[name][group] = array
    return outputs, answered


def _ask(model: Model, rows: Any) -> dict[str, npt.NDArray[np.float64]]:
    estimator, found = model.estimator, {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name in model.plan.outputs:
            if name == "probability":
                array = estimator.predict_proba(rows)
            elif name == "decision":
                array = estimator.decision_function(rows)
            elif name == "class":
                labels = {label: i for i, label in enumerate(model.plan.labels)}
                array = [labels[label] for label in np.asarray(estimator.predict(rows)).tolist()]
            else:
                array = estimator.predict(rows) if hasattr(estimator, "predict") else estimator.transform(rows)
            array = array.toarray() if sparse.issparse(array) else np.asarray(array, np.float64)
            found[name] = np.reshape(array, (len(rows), -1)).astype(np.float64)
    return found


def _table(model: Model, rows: Mapping[str, Column]) -> Any:
    """Return rows as the estimator was fitted on them: a DataFrame, an array or a list of texts."""
    if not model.columns:
        (texts,) = rows.values()
        return np.array([np.nan if t is None else t for t in texts], object)
    if "x" in rows and not model.named and len(model.plan.inputs) == 1 and model.plan.inputs[0].name == "x":
        return np.asarray(rows["x"], np.float64)
    n = max((len(column) for column in rows.values()), default=0)
    types = {value.name: value.type for value in model.plan.inputs}
    frame: dict[str, Any] = {}
    for name in model.columns:
        if types.get(name) == "text":
            missing = model.missing.get(name, np.nan)
            frame[name] = pd.Series([missing if t is None else t for t in rows[name]], dtype=object)
        else:
            frame[name] = np.ravel(np.asarray(rows[name])) if name in rows else np.zeros(n)
    table = pd.DataFrame(frame)
    return table if model.named else table.to_numpy(object if "text" in types.values() else np.float64)


def take(column: Column, chosen: npt.NDArray[np.int64]) -> Column:
    """Return some rows of an input."""
    return column[chosen] if isinstance(column, np.ndarray) else [column[i] for i in chosen]
