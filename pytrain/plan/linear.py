"""Importers of linear models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC, LinearSVR

from pytrain.plan.labels import labels_of
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer, predict
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from pytrain.plan.places import Place


def _linear(estimator: Any, value: Value, *, finite: bool = True) -> Value:
    coef = estimator.coef_
    if sparse.issparse(coef):
        coef = coef.toarray()
    return value.linear(np.atleast_2d(coef), np.ravel(estimator.intercept_), finite=finite)


@importer(Lasso, ElasticNet, MultiTaskLasso, MultiTaskElasticNet)
def sparse_regression(estimator: Any, value: Value, _place: Place) -> Prediction:
    """One column an output. Of sparse columns scikit-learn checks nothing here: NaN gives NaN."""
    value = value.numbers()
    return Prediction(value=_linear(estimator, value, finite=not value.sparse))


@importer(
    *(LinearRegression, Ridge, RidgeCV, LassoCV, ElasticNetCV, MultiTaskLassoCV, MultiTaskElasticNetCV),
    *(Lars, LarsCV, LassoLars, LassoLarsCV, LassoLarsIC, OrthogonalMatchingPursuit, OrthogonalMatchingPursuitCV),
    *(BayesianRidge, ARDRegression, HuberRegressor, QuantileRegressor, TheilSenRegressor),
    *(SGDRegressor, PassiveAggressiveRegressor, LinearSVR),
)
def regression(estimator: Any, value: Value, _place: Place) -> Prediction:
    """One column an output."""
    return Prediction(value=_linear(estimator, value))


@importer(PoissonRegressor, GammaRegressor, TweedieRegressor)
def generalized(estimator: Any, value: Value, _place: Place) -> Prediction:
    """Compute the linear predictor; its exponential where the link is the logarithm."""
    value = _linear(estimator, value)
    link = getattr(estimator, "link", "log")
    if link == "auto":
        link = "identity" if estimator.power <= 0 else "log"
    return Prediction(value=value.link("exp") if link == "log" else value)


@importer(LogisticRegression, LogisticRegressionCV)
def logistic_regression(estimator: Any, value: Value, place: Place) -> Prediction:
    """Two classes by the sigmoid, more by softmax."""
    decision = _linear(estimator, value)
    probability = decision.link("binary" if decision.width == 1 else "softmax")
    return Prediction(labels=labels_of(estimator.classes_, place), decision=decision, probability=probability)


@importer(RidgeClassifier, RidgeClassifierCV, LinearSVC, Perceptron, PassiveAggressiveClassifier)
def margins(estimator: Any, value: Value, place: Place) -> Prediction:
    """Classes by their margins, without probabilities."""
    labels = labels_of(estimator.classes_, place)
    decision = _linear(estimator, value)
    if len(labels) != (2 if decision.width == 1 else decision.width):
        raise place.refuse("has several labels a row", "fit one classifier a label")
    return Prediction(labels=labels, decision=decision)


@importer(SGDClassifier)
def sgd_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Margins; probabilities where the loss gives them."""
    decision = _linear(estimator, value)
    probability = None
    two = decision.width == 1
    if estimator.loss == "log_loss":
        probability = decision.link("binary") if two else decision.link("sigmoid").link("shares")
    elif estimator.loss == "modified_huber":
        share = decision.link("huber")
        probability = two_classes(share) if two else share.link("shares")
    return Prediction(labels=labels_of(estimator.classes_, place), decision=decision, probability=probability)


@importer(OneVsRestClassifier)
def one_vs_rest(estimator: Any, value: Value, place: Place) -> Prediction:
    """One classifier a class."""
    if estimator.multilabel_:
        raise place.refuse("has several labels a row", "fit one classifier a label")
    decisions, probabilities = [], []
    for i, part in enumerate(estimator.estimators_):
        inner = place.child(f"estimators_[{i}]", part)
        found = predict(part, value, inner)
        if found.value is not None or not found.labels:
            raise inner.refuse("is no classifier", "use a classifier, as LogisticRegression")
        decisions.append(found.decision)
        probabilities.append(found.probability)
    labels = labels_of(estimator.classes_, place)
    probability = None
    if all(p is not None for p in probabilities):
        positive = [p.select([1]) for p in probabilities if p is not None]
        probability = two_classes(positive[0]) if len(positive) == 1 else concat(positive).link("parts")
    decision = None
    if all(d is not None for d in decisions):
        decision = concat([d for d in decisions if d is not None])
    return Prediction(labels=labels, decision=decision, probability=probability)


def two_classes(positive: Value) -> Value:
    """Return 1 − p and p."""
    return concat([positive.mul(-1).add(1), positive])
