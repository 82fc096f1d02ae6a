"""A fitted estimator as a plan.

A model that was fitted on a DataFrame has one input a column, text or float64 as its steps read it. One that was fitted
on an array has one float64 input `x`, or inputs `x0`, `x1`, … if it reads text. One that begins with a vectorizer of
text has one text input.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sklearn
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from pytrain.plan import (
    bayes,
    boosted,
    calibrate,
    compose,
    decompose,
    discretize,
    encode,
    forests,
    impute,
    lightgbm,
    linear,
    scale,
    search,
    select,
    text,
    xgboost,
)
from pytrain.plan.graph import Plan
from pytrain.plan.places import Place, at
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import Imported, convert
from pytrain.plan.rewriting import simplified
from pytrain.plan.unsettled import Inputs
from pytrain.plan.values import Value, concat

# Importing these modules registers their importers.
FAMILIES = (
    *(compose, search, impute, scale, discretize, encode, select, decompose, text),
    *(linear, bayes, calibrate, forests, boosted, lightgbm, xgboost),
)

_TREES = 1e-12
_SOURCE = 100_000  # characters of a printed model, beside blanks
_EXACT = {
    *("trees", "leaves", "concat", "select", "cast", "dense", "finite", "mean", "add", "sub", "mul", "div", "clip"),
    *("impute", "missing", "equal_missing", "binarize", "bins", "lookup", "expand", "gather", "link", "argmax"),
}


@dataclass(frozen=True)
class Model:
    """A plan, and what is needed to ask scikit-learn the same.

    Attributes
    ----------
    estimator
        The fitted estimator.
    plan
        What computes the same.
    columns
        The columns of the fitted data, in order; empty if it is one column of text.
    named
        It was fitted on a DataFrame.
    missing
        How a missing text looks in Python, None or NaN, by the name of the input.
    """

    estimator: Any
    plan: Plan
    columns: tuple[str, ...]
    named: bool
    missing: dict[str, object]


def import_model(estimator: Any, *, file: str, text: str = "text") -> Model:
    """Turn a fitted estimator into a plan.

    Parameters
    ----------
    file
        What to call it in messages.
    text
        The name of the one input of a model of texts.

    Raises
    ------
    Refusal
        No plan can express it exactly.
    """
    place = Place(file=file).child("model", estimator)
    names = getattr(_first(estimator), "feature_names_in_", None)
    width = getattr(_first(estimator), "n_features_in_", None)
    columns = [str(n) for n in names] if names is not None else [f"x{i}" for i in range(width or 0)]
    if len(set(columns)) < len(columns):
        raise place.refuse("was fitted on columns that share a name", "rename them, and fit again")
    if not all(columns):
        raise place.refuse("was fitted on a column whose name is empty", "name it, and fit again")
    inputs = Inputs(columns or [text])
    with at(place):
        outputs, labels = _outputs(convert(estimator, inputs.value(), place), place)
        if names is None and columns and all(v.type == "float64" for v in inputs.used()):
            inputs = Inputs(columns, together=True)
            outputs, labels = _outputs(convert(estimator, inputs.value(), place), place)
        plan = Plan(inputs=inputs.used(), outputs=simplified(outputs), labels=labels, source=_source(estimator))
        if _is_exact(plan):
            plan = replace(plan, tolerance=_TREES)
    return Model(estimator, plan, tuple(columns), names is not None, dict(inputs.missing))


def _source(estimator: Any) -> str:
    """Print the estimator, and not only its first 700 characters, as scikit-learn does."""
    if not isinstance(estimator, BaseEstimator):
        return repr(estimator)
    text = estimator.__repr__(N_CHAR_MAX=_SOURCE)
    return f"scikit-learn {sklearn.__version__}: {text}" if type(estimator).__module__.startswith("sklearn.") else text


def _is_exact(plan: Plan) -> bool:
    """Whether trees give the answer, and nothing before them adds in an order of its own."""
    operators = {value.op for value in plan.nodes}
    return "trees" in operators and operators <= _EXACT


def _first(estimator: Any) -> Any:
    """Return the first step that does anything, which knows the columns."""
    while isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
        if not steps:
            break
        estimator = steps[0]
    return estimator


def _outputs(found: Imported, place: Place) -> tuple[dict[str, Value], tuple[Any, ...]]:
    if isinstance(found, Prediction):
        outputs = found.outputs()
        if not outputs:
            raise place.refuse("predicts nothing that a plan can express", "use an estimator with predict")
        return outputs, found.labels
    return {"value": concat([part.dense() for part in ([found] if found.op != "mixed" else found.inputs)])}, ()
