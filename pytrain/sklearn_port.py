"""A fitted scikit-learn pipeline of OneHotEncoder and LogisticRegression as a recipe and table weights.

Each encoded column becomes a vocabulary feature. Let w(c) be the model's weight of category c, and u the weight of
unknown values. With handle_unknown="ignore" (and "error", which never scores them), u is 0. With "infrequent_if_exist"
and "warn", u is the weight of the infrequent categories, if there are any. Infrequent categories stay in the vocabulary
with their common weight. If that equals u, *other* stands for all of them. A dropped category (drop="first", …) has
weight 0.

Index 0, "missing", must have weight 0. Let m be the weight of a missing value in scikit-learn: that of the category
None, NaN or "", or u if there is none. m is added to the bias and subtracted from every other weight of the feature. So
sums, and probabilities, are the same.

Only `.skops` files are read, since pickles can run code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from pytrain.errors import InputError
from pytrain.recipe import Architecture, Feature, Recipe, Training
from pytrain.skops_file import load_skops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

_SHAPE = "fit a Pipeline of OneHotEncoder (or a ColumnTransformer of such) and a binary LogisticRegression"
_PROBES = 64


@dataclass(frozen=True)
class Ported:
    """A recipe, and the weights that make it equal to the pipeline.

    `table` is (N, 1) float64 in the recipe's index space, `columns` the pipeline's input column of each feature.
    """

    recipe: Recipe
    table: npt.NDArray[np.float64]
    bias: float
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    name: str
    values: tuple[str, ...]
    weights: npt.NDArray[np.float64]  # of values, then of *other*; missing is 0
    missing: float  # added to the bias


def load_pipeline(path: Path) -> Pipeline:
    """Load a `.skops` file that holds only scikit-learn's and numpy's own types.

    Raises
    ------
    InputError
        It is a pickle, damaged, holds other types, or is no pipeline.
    """
    pipeline = load_skops(path, trusted=frozenset(), remedy=_SHAPE)
    if not isinstance(pipeline, Pipeline):
        raise InputError(f"holds a {type(pipeline).__name__}", where=str(path), remedy=_SHAPE)
    return pipeline


def port(pipeline: Pipeline, *, model: str, label: str, sources: Mapping[str, str], where: str) -> Ported:
    """Turn a fitted pipeline into a recipe with its weights.

    Parameters
    ----------
    sources
        The request field of each input column; a column whose name has a dot is its own.

    Raises
    ------
    InputError
        The pipeline has another shape, a column has no source, or a category has no text.
    """
    if len(pipeline.steps) != 2 or not isinstance(pipeline.steps[1][1], LogisticRegression):
        steps = " → ".join(type(step).__name__ for _, step in pipeline.steps)
        raise InputError(f"its steps are {steps}", where=where, remedy=_SHAPE)
    encoder, regression = (step for _, step in pipeline.steps)
    if len(regression.classes_) != 2:
        raise InputError(f"has {len(regression.classes_)} classes", where=where, remedy=_SHAPE)
    coefficients = np.asarray(regression.coef_[0], np.float64)
    columns: list[_Column] = []
    used = 0
    for one_hot, names in _encoders(encoder, where):
        for j, name in enumerate(names):
            column, width = _column(one_hot, j, name, coefficients[used:], where)
            columns.append(column)
            used += width
    if used != len(coefficients):
        raise InputError(f"has {len(coefficients)} weights for {used} encoded columns", where=where, remedy=_SHAPE)
    bias = float(regression.intercept_[0]) + sum(c.missing for c in columns)
    features = [_feature(c, sources, where) for c in columns]
    twice = {f.name for f in features if [g.name for g in features].count(f.name) > 1}
    if twice:
        raise InputError(
            f"columns share the names {', '.join(sorted(twice))}", where=where, remedy="rename them and fit"
        )
    rate = min(max(1 / (1 + np.exp(-bias)), 1e-6), 1 - 1e-6)
    recipe = Recipe(
        model=model,
        label=label,  # type: ignore[arg-type] # the command line allows the two values only
        architecture=Architecture(kind="logreg"),
        training=Training(base_rate=float(rate)),
        features=tuple(features),
    )
    table = np.concatenate([[0.0], *(c.weights for c in columns)])[:, None]
    ported = Ported(recipe, table, bias, tuple(c.name for c in columns))
    _check(pipeline, encoder, ported, columns, where)
    return ported


def _encoders(encoder: object, where: str) -> list[tuple[OneHotEncoder, list[str]]]:
    """Return each fitted OneHotEncoder with the names of its columns, in the order of its outputs."""
    if isinstance(encoder, OneHotEncoder):
        return [(encoder, _names(encoder))]
    if not isinstance(encoder, ColumnTransformer):
        raise InputError(f"encodes by a {type(encoder).__name__}", where=where, remedy=_SHAPE)
    if encoder.transformer_weights:
        raise InputError("has transformer_weights", where=where, remedy="fit without them")
    everything = _names(encoder)
    found = []
    for name, part, chosen in encoder.transformers_:
        if part == "drop" or len(chosen) == 0:
            continue
        if not isinstance(part, OneHotEncoder):
            raise InputError(f"transformer {name!r} is a {type(part).__name__}", where=where, remedy=_SHAPE)
        found.append((part, [c if isinstance(c, str) else everything[c] for c in chosen]))
    return found


def _names(encoder: Any) -> list[str]:
    names = getattr(encoder, "feature_names_in_", None)
    return [str(n) for n in names] if names is not None else [f"x{i}" for i in range(encoder.n_features_in_)]


def _column(
    one_hot: OneHotEncoder, j: int, name: str, coefficients: npt.NDArray[np.float64], where: str
) -> tuple[_Column, int]:
    """Weights of one column's categories, and how many coefficients are theirs."""
    categories = list(one_hot.categories_[j])
    infrequent_of = getattr(one_hot, "infrequent_categories_", None)
    found = infrequent_of[j] if infrequent_of is not None else None
    infrequent = {_key(c) for c in found} if found is not None else set()
    drop = one_hot.drop_idx_[j] if one_hot.drop_idx_ is not None else None
    dropped = _key(categories[drop]) if drop is not None else None
    # Encoded columns: frequent categories in order, then one for all infrequent ones; the dropped one is left out.
    frequent = [_key(c) for c in categories if _key(c) not in infrequent]
    encoded: list[object] = [k for k in frequent if k != dropped]
    rare = object()
    if infrequent and dropped not in infrequent:
        encoded.append(rare)
    by_key = dict(zip(encoded, coefficients, strict=False))
    rare_weight = float(by_key.get(rare, 0))
    by_rare = one_hot.handle_unknown in ("infrequent_if_exist", "warn")
    unknown = rare_weight if by_rare else 0.0
    missing: float | None = None
    values: dict[str, float] = {}
    for c in categories:
        key = _key(c)
        weight = rare_weight if key in infrequent else float(by_key.get(key, 0))
        text = _text(c, name, where)
        if text == "":
            if missing is not None and missing != weight:
                raise InputError(
                    f"column {name!r} has several kinds of missing values",
                    where=where,
                    remedy="keep one of None, NaN, ''",
                )
            missing = weight
        elif text in values:
            raise InputError(
                f"column {name!r} has {text!r} twice as text", where=where, remedy="cast it to str, then fit"
            )
        elif not (by_rare and key in infrequent):
            values[text] = weight
    missing = unknown if missing is None else missing
    if not values:
        raise InputError(f"column {name!r} has no category left", where=where, remedy="drop the column and fit")
    weights = np.array([*values.values(), unknown]) - missing
    return _Column(name, tuple(values), weights, missing), len(encoded)


def _key(category: object) -> object:
    """Make a category comparable: NaN equals NaN."""
    return (
        "NaN"
        if isinstance(category, float | np.floating) and np.isnan(category)
        else (type(category).__name__, category)
    )


def _text(category: object, name: str, where: str) -> str:
    """Write a category as a raw file would; "" is missing."""
    match category:
        case None:
            return ""
        case str():
            return str(category)
        case bool() | np.bool_():
            pass
        case int() | np.integer():
            return str(int(category))
        case float() | np.floating():
            if np.isnan(category):
                return ""
            if float(category).is_integer():  # integers become floats where a value is missing
                return str(int(category))
    raise InputError(
        f"column {name!r} has the category {category!r}, which raw files may write in several ways",
        where=where,
        remedy="cast the column to str, then fit",
    )


def _feature(column: _Column, sources: Mapping[str, str], where: str) -> Feature:
    source = sources.get(column.name) or (column.name if "." in column.name else None)
    if source is None:
        raise InputError(
            f"column {column.name!r} has no source",
            where=where,
            remedy=f"say which request field it is, as in --source {column.name}=device.os",
        )
    name = re.sub(r"[^a-z0-9_]+", "_", column.name.lower()).strip("_")
    name = name if name[:1].isalpha() else f"f_{name}"
    return Feature(name=name[:63], source=source, encoder="vocabulary", values=column.values)


def _check(pipeline: Pipeline, encoder: Any, ported: Ported, columns: Sequence[_Column], where: str) -> None:
    """Compare with the pipeline on random known rows, so that a change in scikit-learn is noticed."""
    rng = np.random.default_rng(0)
    inputs: dict[str, npt.NDArray[Any]] = {name: np.zeros(_PROBES, object) for name in _names(encoder)}
    logits = np.full(_PROBES, ported.bias)
    by_name = {c.name: c for c in columns}
    for one_hot, chosen_names in _encoders(encoder, where):
        for categories, name in zip(one_hot.categories_, chosen_names, strict=True):
            chosen = rng.integers(len(categories), size=_PROBES)
            inputs[name] = np.array(categories, object)[chosen]
            c = by_name[name]
            texts = [_text(v, name, where) for v in categories]
            weights = [0.0 if t == "" else c.weights[c.values.index(t) if t in c.values else -1] for t in texts]
            logits += np.array(weights)[chosen]
    frame = pd.DataFrame(inputs, dtype=object)
    given: Any = frame if hasattr(encoder, "feature_names_in_") else frame.to_numpy()
    worst = float(np.abs(pipeline.decision_function(given) - logits).max())
    if not worst <= 1e-6 * (1 + float(np.abs(logits).max())):
        raise InputError(
            f"its decision function is off the ported weights by {worst:.2g}",
            where=where,
            remedy="report this with the file",
        )
