"""Importers of what holds other estimators: Pipeline, ColumnTransformer, FeatureUnion, FrozenEstimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from pytrain.plan.registry import convert, importer, transform
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrain.plan.places import Place
    from pytrain.plan.registry import Imported


@importer(Pipeline)
def pipeline(estimator: Any, value: Value, place: Place) -> Imported:
    """One step after another."""
    steps = [(f"steps[{i}] {name}", step) for i, (name, step) in enumerate(estimator.steps)]
    steps = [(name, step) for name, step in steps if step is not None and step != "passthrough"]
    if not steps:
        return value
    for name, step in steps[:-1]:
        value = transform(step, value, place.child(name, step))
    name, last = steps[-1]
    return convert(last, value, place.child(name, last))


@importer(ColumnTransformer)
def column_transformer(estimator: Any, value: Value, place: Place) -> Value:
    """Parts of the columns, each through its transformer, side by side."""
    names = [str(n) for n in getattr(estimator, "feature_names_in_", ())]
    weights = estimator.transformer_weights or {}
    parts = []
    for i, (name, part, columns) in enumerate(estimator.transformers_):
        chosen = positions(columns, names, estimator.n_features_in_)
        if isinstance(part, str) and part == "drop":
            continue
        if not chosen:
            continue
        found = value.select(chosen)
        if not (isinstance(part, str) and part == "passthrough"):
            found = transform(part, found, place.child(f"transformers[{i}] {name}", part))
        parts.append(found.mul(weights[name]) if name in weights else found)
    return _beside(parts, place, sparse=estimator.sparse_output_)


@importer(FeatureUnion)
def feature_union(estimator: Any, value: Value, place: Place) -> Value:
    """All columns through several transformers, side by side."""
    weights = estimator.transformer_weights or {}
    parts = []
    for i, (name, part) in enumerate(estimator.transformer_list):
        if isinstance(part, str) and part == "drop":
            continue
        found = value
        if not (isinstance(part, str) and part == "passthrough"):
            found = transform(part, value, place.child(f"transformer_list[{i}] {name}", part))
        parts.append(found.mul(weights[name]) if name in weights else found)
    return _beside(parts, place, sparse=any(part.sparse for part in parts))


@importer(FrozenEstimator)
def frozen(estimator: Any, value: Value, place: Place) -> Imported:
    """Return what the frozen estimator computes."""
    return convert(estimator.estimator, value, place.child("estimator", estimator.estimator))


def _beside(parts: Sequence[Value], place: Place, *, sparse: bool) -> Value:
    """Return all columns, sparse only if scikit-learn has them so. What is sparse holds no text."""
    if not parts:
        raise place.refuse("returns no column", "leave it out")
    return concat([part.numbers() if sparse else part.dense() if part.sparse else part for part in parts])


def positions(columns: Any, names: Sequence[str], width: int) -> list[int]:
    """Return the places of a ColumnTransformer's columns: names, places, slices of either, or a mask."""
    if isinstance(columns, str):
        return [names.index(columns)]
    if isinstance(columns, slice):
        begin, end = columns.start, columns.stop
        if isinstance(begin, str) or isinstance(end, str):  # by names, the last one too
            begin = None if begin is None else names.index(begin)
            end = None if end is None else names.index(end) + 1
        return list(range(width))[begin : end : columns.step]
    if np.isscalar(columns):
        return [range(width)[int(columns)]]  # type: ignore[arg-type] # it is a number
    chosen = list(columns)
    if chosen and all(isinstance(c, bool | np.bool_) for c in chosen):
        return [j for j, c in enumerate(chosen) if c]
    return [names.index(c) if isinstance(c, str) else range(width)[int(c)] for c in chosen]
