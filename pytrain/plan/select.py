"""Importers of what keeps some of the columns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.utils import get_tags

from pytrain.errors import Refusal
from pytrain.plan.boosted import Boosted
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer, predict

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value


@importer(VarianceThreshold)
def variance_threshold(estimator: Any, value: Value, _place: Place) -> Value:
    """Keep the columns that vary."""
    return value.numbers().select(estimator.get_support(indices=True))


@importer(SelectKBest, SelectPercentile, SelectFpr, SelectFdr, SelectFwe, GenericUnivariateSelect)
def select_by_scores(estimator: Any, value: Value, _place: Place) -> Value:
    """Keep the columns of the best scores."""
    return value.finite().select(estimator.get_support(indices=True))


def _chosen(estimator: Any, value: Value) -> Value:
    """Return the columns that were selected. The estimator that selected them says whether NaN may be among them."""
    value = value.numbers() if get_tags(estimator).input_tags.allow_nan else value.finite()
    return value.select(estimator.get_support(indices=True))


@importer(SelectFromModel, SequentialFeatureSelector)
def select_by_model(estimator: Any, value: Value, place: Place) -> Value:
    """Keep the columns that a model found useful."""
    if isinstance(estimator.estimator, Boosted) or isinstance(getattr(estimator, "estimator_", None), Boosted):
        raise place.refuse(
            "selects columns by a booster, whose importances no plan has",
            "name the columns that it selected in a ColumnTransformer",
        )
    return _chosen(estimator, value)


@importer(RFE, RFECV)
def recursive_elimination(estimator: Any, value: Value, place: Place) -> Prediction:
    """Keep the columns that remained; as the last step, what the estimator predicts of them."""
    value = _chosen(estimator, value)
    try:
        found = predict(estimator.estimator_, value, place.child("estimator_", estimator.estimator_))
    except Refusal as e:  # it matters only where the prediction is asked for
        return Prediction(transform=value, refused=e)
    return replace(found, transform=value)
