"""Importers of what asks an estimator that it chose or corrected: searches, RANSAC, TransformedTargetRegressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from pytrain.plan.operators import FUNCTIONS
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import convert, importer, predict

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.registry import Imported
    from pytrain.plan.values import Value

_UFUNCS = {getattr(np, name): name for name in FUNCTIONS}


@importer(GridSearchCV, RandomizedSearchCV)
def search(estimator: Any, value: Value, place: Place) -> Imported:
    """Ask the best estimator, which was fitted again on all rows."""
    if not estimator.refit:
        raise place.refuse("has no best_estimator_, since refit is False", "fit it with refit=True")
    best = estimator.best_estimator_
    return convert(best, value, place.child("best_estimator_", best))


@importer(RANSACRegressor)
def ransac(estimator: Any, value: Value, place: Place) -> Prediction:
    """Ask the estimator that was fitted on the inliers."""
    return predict(estimator.estimator_, value, place.child("estimator_", estimator.estimator_))


@importer(TransformedTargetRegressor)
def transformed_target(estimator: Any, value: Value, place: Place) -> Prediction:
    """Undo what was done to the targets: by one of NumPy's functions, StandardScaler or MinMaxScaler."""
    found = predict(estimator.regressor_, value, place.child("regressor_", estimator.regressor_))
    if found.value is None:
        raise place.refuse("has a regressor_ that predicts classes", "use a regressor")
    return Prediction(value=_undone(estimator.transformer_, found.value, place))


def _undone(transformer: Any, value: Value, place: Place) -> Value:
    kind = type(transformer)
    if kind is FunctionTransformer:
        value = value.finite() if transformer.validate else value
        if transformer.inverse_func is None:
            return value
        name = _UFUNCS.get(transformer.inverse_func) if isinstance(transformer.inverse_func, np.ufunc) else None
        if name is not None and not transformer.inv_kw_args:
            return value.function(name)
        called = getattr(transformer.inverse_func, "__name__", repr(transformer.inverse_func))
        raise place.refuse(
            f"has the inverse_func {called}", f"use one of NumPy's {', '.join(FUNCTIONS)}, without arguments"
        )
    value = value.finite(nan=True)
    if kind is StandardScaler:
        value = value.mul(transformer.scale_) if transformer.with_std else value
        return value.add(transformer.mean_) if transformer.with_mean else value
    if kind is MinMaxScaler and not transformer.clip:
        return value.sub(transformer.min_).div(transformer.scale_)
    raise place.refuse(
        f"has the transformer {kind.__name__}",
        "use func and inverse_func of NumPy, StandardScaler or MinMaxScaler",
    )
