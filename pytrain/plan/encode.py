"""Importers of encoders of categories: OneHotEncoder, OrdinalEncoder, TargetEncoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from pytrain.plan.impute import is_nan
from pytrain.plan.registry import importer
from pytrain.plan.unsettled import note_missing
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrain.plan.places import Place

_MOST_EXACT = 1 << 53


@dataclass(frozen=True)
class _Categories:
    """One column's categories, in scikit-learn's order, as keys of a lookup: texts and None, or floats and NaN."""

    keys: tuple[str | float | None, ...]
    text: bool

    def lookup(self, column: Value, codes: Sequence[float], *, unknown: float | None) -> Value:
        """Return the code of the column's category."""
        pairs = dict(zip(self.keys, codes, strict=True))
        if self.text:
            return column.lookup_texts(pairs, unknown=unknown)  # type: ignore[arg-type] # all keys are texts
        return column.numbers().finite(nan=True).lookup_numbers(pairs, unknown=unknown)  # type: ignore[arg-type]


def _categories(raw: Any, column: Value, j: int, place: Place) -> _Categories:
    values = list(raw)
    missing = [v for v in values if v is None or is_nan(v)]
    present = [v for v in values if not (v is None or is_nan(v))]
    if len(missing) > 1:
        raise place.refuse(f"column {j} has both None and NaN as categories", "keep one of them, and fit again")
    text = all(isinstance(v, str) for v in present) and (bool(present) or np.asarray(raw).dtype == object)
    if text:
        if missing:
            note_missing(column.texts(), missing[0])
        keys = tuple(str(v) if isinstance(v, str) else None for v in values)
        if any(not _encodes(k) for k in keys if k is not None):
            raise place.refuse(f"column {j} has a category that is no Unicode text", "clean the column, and fit again")
        return _Categories(keys, text=True)
    if not all(isinstance(v, bool | int | float | np.bool_ | np.integer | np.floating) for v in present):
        odd = next(v for v in present if not isinstance(v, bool | int | float | np.bool_ | np.integer | np.floating))
        raise place.refuse(
            f"column {j} has the category {odd!r}, a {type(odd).__name__}, among its categories",
            "use only texts, or only numbers, in a column",
        )
    if None in missing:
        raise place.refuse(f"column {j} has None among numbers", "use numpy.nan for missing numbers")
    if any(abs(v) > _MOST_EXACT and int(float(v)) != int(v) for v in present):
        raise place.refuse(f"column {j} has integers that are no floats", "cast the column to text")
    return _Categories(tuple(float(v) for v in values), text=False)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_dtype(estimator: Any, place: Place) -> None:
    if np.dtype(estimator.dtype) != np.float64:
        raise place.refuse(f"has dtype {np.dtype(estimator.dtype)}", "fit it with dtype=numpy.float64")


def _infrequent(estimator: Any, j: int) -> set[int]:
    """Return the places of a column's infrequent categories."""
    found = getattr(estimator, "infrequent_categories_", None)  # it raises where there are none
    if found is None or found[j] is None:
        return set()
    rare = [_same(v) for v in found[j]]
    return {i for i, v in enumerate(estimator.categories_[j]) if _same(v) in rare}


def _same(category: object) -> object:
    return "NaN" if is_nan(category) else (isinstance(category, str), category)


@importer(OneHotEncoder)
def one_hot_encoder(estimator: Any, value: Value, place: Place) -> Value:
    """One column a category. A code beyond the columns is none of them."""
    _check_dtype(estimator, place)
    parts, sizes = [], []
    for j, column in enumerate(value.columns()):
        codes, size, rare = _one_hot_codes(estimator, j)
        by_rare = estimator.handle_unknown in ("infrequent_if_exist", "warn") and rare is not None
        unknown = None if estimator.handle_unknown == "error" else float(rare) if by_rare and rare is not None else -1.0
        categories = _categories(estimator.categories_[j], column, j, place)
        parts.append(categories.lookup(column, codes, unknown=unknown))
        sizes.append(size)
    if not sum(sizes):
        raise place.refuse("returns no column", "leave it out")
    value = concat(parts).expand(sizes)
    return value if estimator.sparse_output else value.dense()


def _one_hot_codes(estimator: Any, j: int) -> tuple[list[float], int, int | None]:
    """Return each category's code, the number of columns, and the code of infrequent categories if there are any."""
    count = len(estimator.categories_[j])
    rare = _infrequent(estimator, j)
    drop = estimator.drop_idx_[j] if estimator.drop_idx_ is not None else None
    drops_rare = drop is not None and drop in rare
    groups: dict[int, int] = {}  # category → column before anything is dropped
    for i in range(count):
        if i not in rare:
            groups[i] = len(groups)
    columns = len(groups) + bool(rare)
    groups |= dict.fromkeys(rare, columns - 1)
    dropped = columns - 1 if drops_rare else groups[int(drop)] if drop is not None else None

    def code(group: int) -> int:
        if dropped is None or group < dropped:
            return group
        return -1 if group == dropped else group - 1

    codes = [float(code(groups[i])) for i in range(count)]
    return codes, columns - (dropped is not None), code(columns - 1) if rare else None


@importer(OrdinalEncoder)
def ordinal_encoder(estimator: Any, value: Value, place: Place) -> Value:
    """Look up the place of the category; infrequent ones share the last."""
    _check_dtype(estimator, place)
    unknown = None if estimator.handle_unknown == "error" else float(estimator.unknown_value)
    parts = []
    for j, column in enumerate(value.columns()):
        rare = _infrequent(estimator, j)
        raw = estimator.categories_[j]
        missing = {i for i, v in enumerate(raw) if is_nan(v)}  # None is a category like any other here
        frequent = [i for i in range(len(raw)) if i not in rare and i not in missing]
        codes = dict.fromkeys(rare, float(len(frequent))) | {i: float(c) for c, i in enumerate(frequent)}
        codes |= dict.fromkeys(missing, float(estimator.encoded_missing_value))
        categories = _categories(raw, column, j, place)
        parts.append(categories.lookup(column, [codes[i] for i in range(len(raw))], unknown=unknown))
    return concat(parts)


@importer(TargetEncoder)
def target_encoder(estimator: Any, value: Value, place: Place) -> Value:
    """Look up the mean target of the category; of several classes, one column each."""
    classes = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    parts = []
    for j, column in enumerate(value.columns()):
        categories = _categories(estimator.categories_[j], column, j, place)
        encodings = estimator.encodings_[j * classes : (j + 1) * classes]
        if classes == 1:
            parts.append(categories.lookup(column, encodings[0], unknown=float(estimator.target_mean_)))
            continue
        count = len(categories.keys)
        table = np.vstack([np.column_stack(encodings), estimator.target_mean_])  # (categories + 1, classes)
        parts.append(categories.lookup(column, range(count), unknown=float(count)).gather(table))
    return concat(parts)
