"""Importers of what keeps some of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.feature_selection import SelectKBest, VarianceThreshold

from pytrain.plan.registry import importer

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value


@importer(VarianceThreshold)
def variance_threshold(estimator: Any, value: Value, _place: Place) -> Value:
    """Keep the columns that vary."""
    return value.numbers().select(estimator.get_support(indices=True))


@importer(SelectKBest)
def select_k_best(estimator: Any, value: Value, _place: Place) -> Value:
    """Keep the columns of the best scores."""
    return value.finite().select(estimator.get_support(indices=True))
