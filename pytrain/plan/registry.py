"""Importers: one function a type of estimator, found by the exact type, since a subclass may compute something else."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from pytrain.plan.places import Place, at
from pytrain.plan.prediction import Prediction
from pytrain.plan.values import Value

Imported = Value | Prediction
Importer = Callable[[Any, Value, Place], Imported]
F = TypeVar("F", bound=Callable[..., Any])

_importers: dict[type, Importer] = {}

# What to use instead of what is often met and not supported.
SUBSTITUTES = {
    "PowerTransformer": "use FunctionTransformer(numpy.log1p) and StandardScaler",
    "QuantileTransformer": "use KBinsDiscretizer(strategy='quantile')",
    "SplineTransformer": "use KBinsDiscretizer or PolynomialFeatures",
    "KNNImputer": "use SimpleImputer",
    "IterativeImputer": "use SimpleImputer",
    "MissingIndicator": "use SimpleImputer(add_indicator=True)",
    "SVC": "use LinearSVC, or CalibratedClassifierCV over it for probabilities",
    "SVR": "use LinearSVR",
    "NuSVC": "use LinearSVC",
    "AdaBoostClassifier": "use a GradientBoostingClassifier",
    "AdaBoostRegressor": "use a GradientBoostingRegressor",
    "BaggingClassifier": "use a RandomForestClassifier or an ExtraTreesClassifier",
    "BaggingRegressor": "use a RandomForestRegressor or an ExtraTreesRegressor",
    "VotingClassifier": "port its estimators as models of their own, and average their answers",
    "VotingRegressor": "port its estimators as models of their own, and average their answers",
    "StackingClassifier": "use one of its estimators",
    "StackingRegressor": "use one of its estimators",
    "FixedThresholdClassifier": "port its estimator_, and compare its probabilities with the threshold",
    "GaussianNB": "use LogisticRegression",
    "KNeighborsClassifier": "use LogisticRegression or a HistGradientBoostingClassifier",
    "MLPClassifier": "use LogisticRegression or a HistGradientBoostingClassifier",
    "BisectingKMeans": "use KMeans",
}


def importer(*types: type) -> Callable[[F], F]:
    """Register a function as the importer of estimators of these types.

    It is called with a fitted estimator, the value that the estimator reads, and the estimator's place.
    """

    def register(function: F) -> F:
        for estimator in types:
            if estimator in _importers:
                raise ValueError(f"{estimator.__name__} has an importer already")
            _importers[estimator] = function
        return function

    return register


def supported() -> dict[type, Importer]:
    """Return all importers by the type of estimator."""
    return dict(_importers)


def convert(estimator: object, value: Value, place: Place) -> Imported:
    """Turn a fitted estimator into values.

    Parameters
    ----------
    value
        What the estimator reads.
    place
        The estimator's own place: the parent's, with `child`.

    Raises
    ------
    Refusal
        No plan can express the estimator, or one of its settings.
    """
    function = _importers.get(type(estimator))
    if function is None:
        name = type(estimator).__name__
        near = difflib.get_close_matches(name, [t.__name__ for t in _importers], n=1, cutoff=0.8)
        remedy = SUBSTITUTES.get(name) or (f"the nearest that can is {near[0]}" if near else "use another estimator")
        raise place.refuse(f"no plan can express {type(estimator).__module__}.{name}", remedy)
    with at(place):
        try:
            return function(estimator, value, place)
        except AttributeError:
            if _is_fitted(estimator):
                raise
            raise place.refuse("was not fitted", "fit the model before it is written") from None


def _is_fitted(estimator: object) -> bool:
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return False
    return True


def transform(estimator: object, value: Value, place: Place) -> Value:
    """Turn a fitted transformer into the value it returns.

    Raises
    ------
    Refusal
        It cannot be expressed, or it is no transformer.
    """
    found = convert(estimator, value, place)
    if isinstance(found, Prediction):
        if found.transform is None:
            raise place.refuse("is no transformer that a plan can express", "make it the last step")
        return found.transform
    return found


def predict(estimator: object, value: Value, place: Place) -> Prediction:
    """Turn a fitted predictor into its prediction.

    Raises
    ------
    Refusal
        It cannot be expressed, or it is no predictor.
    """
    found = convert(estimator, value, place)
    if isinstance(found, Value):
        raise place.refuse("predicts nothing", "name a classifier or a regressor")
    if found.refused is not None:
        raise found.refused
    return found
