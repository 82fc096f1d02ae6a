"""Importers of what changes numbers: scalers, Normalizer, Binarizer, functions, polynomials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from pytrain.plan.operators import FUNCTIONS
from pytrain.plan.registry import importer

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value

_UFUNCS = {getattr(np, name): name for name in FUNCTIONS}


def _divided(value: Value, scale: Any) -> Value:
    """Return x / scale. Sparse columns are multiplied by 1 / scale, as in scikit-learn: the last place may differ."""
    return value.mul(1.0 / np.asarray(scale, np.float64)) if value.sparse else value.div(scale)


@importer(StandardScaler)
def standard_scaler(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute (x − mean) / deviation."""
    value = value.finite(nan=True)
    if estimator.with_mean:
        value = value.sub(estimator.mean_)
    return _divided(value, estimator.scale_) if estimator.with_std else value


@importer(MinMaxScaler)
def min_max_scaler(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute x · scale + min."""
    value = value.finite(nan=True).mul(estimator.scale_).add(estimator.min_)
    return value.clip(*estimator.feature_range) if estimator.clip else value


@importer(MaxAbsScaler)
def max_abs_scaler(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute x / scale."""
    value = _divided(value.finite(nan=True), estimator.scale_)
    return value.clip(-1, 1) if getattr(estimator, "clip", False) else value


@importer(RobustScaler)
def robust_scaler(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute (x − median) / range."""
    value = value.finite(nan=True)
    if estimator.with_centering:
        value = value.sub(estimator.center_)
    return _divided(value, estimator.scale_) if estimator.with_scaling else value


@importer(Normalizer)
def normalizer(estimator: Any, value: Value, _place: Place) -> Value:
    """Divide each row by its norm."""
    return value.finite().normalize(estimator.norm)


@importer(Binarizer)
def binarizer(estimator: Any, value: Value, _place: Place) -> Value:
    """Compare with a threshold."""
    return value.finite().binarize(estimator.threshold)


@importer(PolynomialFeatures)
def polynomial_features(estimator: Any, value: Value, _place: Place) -> Value:
    """Products of powers."""
    return value.finite().polynomial(estimator.powers_)


@importer(FunctionTransformer)
def function_transformer(estimator: Any, value: Value, place: Place) -> Value:
    """One of NumPy's functions of a closed list; any other could be any code."""
    if estimator.func is None:
        return value.finite() if estimator.validate else value
    name = _UFUNCS.get(estimator.func) if isinstance(estimator.func, np.ufunc) else None
    if name is None:
        called = getattr(estimator.func, "__name__", repr(estimator.func))
        raise place.refuse(f"has the function {called}", f"use one of NumPy's {', '.join(FUNCTIONS)}")
    if estimator.kw_args:
        raise place.refuse(f"has kw_args {estimator.kw_args}", "use the function without arguments")
    return (value.finite() if estimator.validate else value).function(name)
