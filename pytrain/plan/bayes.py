"""Importers of classifiers that come from class densities and are linear: naive Bayes of counts, LDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB

from pytrain.plan.labels import labels_of
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value


@importer(MultinomialNB, ComplementNB)
def counts(estimator: Any, value: Value, place: Place) -> Prediction:
    """Weigh the columns by class. ComplementNB leaves out the prior of several classes."""
    prior = 0.0 if type(estimator) is ComplementNB and len(estimator.classes_) > 1 else estimator.class_log_prior_
    likelihood = value.linear(estimator.feature_log_prob_, prior)
    return Prediction(labels=labels_of(estimator.classes_, place), probability=likelihood.link("softmax"))


@importer(BernoulliNB)
def occurrences(estimator: Any, value: Value, place: Place) -> Prediction:
    """Weigh by class which columns are 1 and which are 0."""
    value = value.finite()
    if estimator.binarize is not None:
        value = value.binarize(estimator.binarize)
    absent = np.log(1 - np.exp(estimator.feature_log_prob_))  # (classes, columns)
    prior = estimator.class_log_prior_ + absent.sum(axis=1)
    likelihood = value.linear(estimator.feature_log_prob_ - absent, prior)
    return Prediction(labels=labels_of(estimator.classes_, place), probability=likelihood.link("softmax"))


@importer(LinearDiscriminantAnalysis)
def linear_discriminant_analysis(estimator: Any, value: Value, place: Place) -> Prediction:
    """Two classes by the sigmoid, more by softmax; as a step before others a projection."""
    decision = value.linear(estimator.coef_, estimator.intercept_)
    projected = None
    if estimator.solver != "lsqr":
        centered = value.finite().sub(estimator.xbar_) if estimator.solver == "svd" else value
        projected = centered.project(estimator.scalings_.T[: estimator._max_components])  # noqa: SLF001 - nothing public has it
    return Prediction(
        labels=labels_of(estimator.classes_, place),
        decision=decision,
        probability=decision.link("binary" if decision.width == 1 else "softmax"),
        transform=projected,
    )
