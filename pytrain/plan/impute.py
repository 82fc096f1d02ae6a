"""Importer of SimpleImputer.

A plan has one missing number, NaN, and one missing text. Text is filled by letting one text stand for another, which
the encoder after it folds in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.impute import SimpleImputer

from pytrain.plan.registry import importer
from pytrain.plan.unsettled import note_missing, replace_texts
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from pytrain.plan.places import Place


def is_nan(value: object) -> bool:
    """Whether it is a float NaN."""
    return isinstance(value, float | np.floating) and math.isnan(value)


@importer(SimpleImputer)
def simple_imputer(estimator: Any, value: Value, place: Place) -> Value:
    """Fill what is missing, column by column; maybe append which columns were missing."""
    statistics = list(estimator.statistics_)
    if not any(isinstance(s, str) for s in statistics) and not isinstance(estimator.missing_values, str):
        return _numbers(estimator, value, place)
    filled, flags = [], []
    wanted = set(estimator.indicator_.features_.tolist()) if estimator.add_indicator else set()
    for j, (column, statistic) in enumerate(zip(value.columns(), statistics, strict=True)):
        empty = is_nan(statistic) and not estimator.keep_empty_features
        if not isinstance(statistic, str):
            if not empty or j in wanted:
                raise place.refuse(
                    f"fills column {j} with {statistic!r}, and others with text",
                    "use two imputers in a ColumnTransformer, for text and for numbers",
                )
            continue
        filled.append(_text(estimator, column, statistic, place))
        if j in wanted:
            flags.append(_text_missing(estimator, column))
    if not filled + flags:
        raise place.refuse("returns no column", "leave it out")
    return concat([*filled, *flags])


def _numbers(estimator: Any, value: Value, place: Place) -> Value:
    missing = estimator.missing_values
    if is_nan(missing):
        value = value.finite(nan=True)
    elif isinstance(missing, int | float | np.number) and not isinstance(missing, bool):
        value = value.finite().equal_missing(float(missing))
    else:
        raise place.refuse(f"has missing_values={missing!r} for numbers", "use missing_values=numpy.nan")
    statistics = np.asarray(estimator.statistics_, np.float64)
    kept = np.arange(len(statistics)) if estimator.keep_empty_features else np.flatnonzero(~np.isnan(statistics))
    parts = [value.select(kept).impute(statistics[kept])] if len(kept) else []
    if estimator.add_indicator and len(estimator.indicator_.features_):
        parts.append(value.select(estimator.indicator_.features_).missing())
    if not parts:
        raise place.refuse("returns no column", "leave it out")
    return concat(parts)


def _text(estimator: Any, column: Value, statistic: str, place: Place) -> Value:
    missing = estimator.missing_values
    text = column.texts()
    if isinstance(missing, str):
        return replace_texts(text, {str(missing): str(statistic)}, refuses_missing=True)
    if missing is not None and not is_nan(missing):
        raise place.refuse(f"has missing_values={missing!r} for text", "use numpy.nan or None")
    note_missing(text, missing)
    return replace_texts(text, {None: str(statistic)})


def _text_missing(estimator: Any, column: Value) -> Value:
    missing = str(estimator.missing_values) if isinstance(estimator.missing_values, str) else None
    return column.lookup_texts({missing: 1.0}, unknown=0.0)
