"""XGBoost's models as JSON or UBJSON, read without XGBoost.

XGBoost rounds its input to float32, asks `x < threshold`, and adds leaves to the margin in float32. The margin starts
with `base_score`, which files give as a probability or mean: one number, or from XGBoost 3.1 on a list with one for
each class. A categorical node sends the categories of its set right, and all else left. In plans a set is what goes
left, so the children change places.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.errors import InputError, Refusal
from pytrain.plan import ubjson
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer
from pytrain.plan.trees import CATEGORICAL, MISSING_LEFT, NAN_MISSING, NO_NEGATIVE, Tree, bitset, ensemble, evaluate
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.plan.places import Place

    Floats = npt.NDArray[np.float64]

_IDENTITY = (
    "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
    "reg:quantileerror", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip
_EXP = ("count:poisson", "reg:gamma", "reg:tweedie")
_LOGISTIC = ("binary:logistic", "reg:logistic")
_MULTI = ("multi:softprob", "multi:softmax")
OBJECTIVES = (*_IDENTITY, *_EXP, *_LOGISTIC, *_MULTI, "binary:logitraw", "binary:hinge")
_REMEDY = "write it again with Booster.save_model, as .json or .ubj"


@dataclass(frozen=True)
class XGBoost:
    """A model as its file has it.

    Attributes
    ----------
    trees
        In the order of the file.
    columns
        The class of each tree.
    margin
        float32 (k,): what the sums start with.
    names
        Of the features; empty if it was fitted on an array.
    width
        The number of features.
    categories
        Of columns of pandas' `category`, from XGBoost 3.1 on: texts or numbers, in the order of their codes.
    """

    trees: tuple[Tree, ...]
    columns: tuple[int, ...]
    objective: str
    margin: npt.NDArray[np.float32]
    names: tuple[str, ...]
    width: int
    categories: Mapping[int, tuple[Any, ...]]
    version: str

    def __repr__(self) -> str:
        return (
            f"XGBoost({self.version}, objective={self.objective!r}, {len(self.trees)} trees, {len(self.margin)} sums)"
        )

    @property
    def n_features_in_(self) -> int:
        """The columns of the fitted data."""
        return self.width

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """The names of the columns.

        Raises
        ------
        AttributeError
            It was fitted on an array.
        """
        if not self.names:
            raise AttributeError("it was fitted on an array")
        return np.array(self.names, object)

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes, which XGBoost numbers; empty of a regression."""
        if self.objective in _MULTI:
            return tuple(range(len(self.margin)))
        return (0, 1) if self.objective.startswith("binary:") else ()

    def predict_margin(self, x: Any) -> npt.NDArray[np.float32]:
        """Return the sums (n, k) of rows (n, w); for golden rows, not for speed."""
        with np.errstate(over="ignore"):
            table = np.asarray(_coded(self, x), np.float32)
        if np.isinf(table).any():
            raise ValueError("XGBoost takes no infinite number")
        return evaluate(self.trees, table.astype(np.float64), self.margin, self.columns, less=True)

    def decision_function(self, x: Any) -> npt.NDArray[np.float32]:
        """Return the margins, as scikit-learn's classifiers have a method for."""
        return self.predict_margin(x)

    def predict_proba(self, x: Any) -> Floats:
        """Return a column (n, k) a class."""
        margin = self.predict_margin(x).astype(np.float64)
        if self.objective in _MULTI:
            powers = np.exp(margin - margin.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        one = 1 / (1 + np.exp(-margin))
        return np.hstack([1 - one, one])

    def predict(self, x: Any) -> Floats:
        """Return the value (n,) or (n, k) or, of classes, the place of the greatest probability."""
        margin = self.predict_margin(x).astype(np.float64)
        if self.labels:
            return np.asarray(margin.argmax(axis=1) if len(self.margin) > 1 else (margin[:, 0] > 0) * 1)
        if self.objective in _EXP:
            margin = np.exp(margin)
        elif self.objective == "reg:logistic":
            margin = 1 / (1 + np.exp(-margin))
        return margin[:, 0] if len(self.margin) == 1 else margin


def _coded(model: XGBoost, x: Any) -> Any:
    if not model.categories:
        return x
    columns = []
    for i, name in enumerate(x.columns):
        column = x[name]
        if i in model.categories:
            codes = {category: float(code) for code, category in enumerate(model.categories[i])}
            if not set(column.dropna()) <= set(codes):
                raise ValueError(f"the column {name} has an unknown category")
            column = column.map(codes)
        columns.append(column.astype(float))
    return np.column_stack(columns)


def read(path: Path) -> XGBoost:
    """Read a file that Booster.save_model wrote as .json or .ubj.

    Raises
    ------
    InputError
        It cannot be read, or is no whole model of XGBoost.
    Refusal
        It holds what no plan can express exactly.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(
            f"cannot be read: {e.strerror}", where=str(path), remedy="name a model that XGBoost saved"
        ) from e
    return parse(data, where=str(path))


def parse(data: bytes, *, where: str) -> XGBoost:
    """Read the bytes of a file; see `read`."""
    try:
        # UBJSON begins with `{` and the length of a key: a marker of its type. JSON has `"` or spaces there.
        document = ubjson.loads(data) if data[:1] == b"{" and data[1:2] in b"iUIlL$#" else json.loads(data)
        return _parse(document, where)
    except (KeyError, ValueError, TypeError, IndexError) as e:
        raise InputError(f"is no whole model of XGBoost in JSON or UBJSON: {e!r}", where=where, remedy=_REMEDY) from e


def parse_state(data: bytes, *, where: str) -> XGBoost:
    """Read what XGBoost's Booster pickles: its model and configuration as UBJSON; of a best iteration the trees so far.

    Errors are those of `read`.
    """
    try:
        document = ubjson.loads(data)["Model"]
        learner = document["learner"]
        best = learner.get("attributes", {}).get("best_iteration")
        if best is not None:
            _keep(learner["gradient_booster"]["model"], int(best) + 1)
        return _parse(document, where)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as e:
        raise InputError(f"is no whole state of XGBoost: {e!r}", where=where, remedy=_REMEDY) from e


def _keep(model: Any, iterations: int) -> None:
    """Drop the trees after the first iterations."""
    last = model["iteration_indptr"][iterations]
    model["trees"], model["tree_info"] = model["trees"][:last], model["tree_info"][:last]


def _parse(document: Any, where: str) -> XGBoost:
    learner = document["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise Refusal(f"is a booster {booster['name']}", where=where, remedy="train it with booster='gbtree'")
    objective = learner["objective"]["name"]
    if objective not in OBJECTIVES:
        raise Refusal(f"has the objective {objective!r}", where=where, remedy=f"use one of {', '.join(OBJECTIVES)}")
    model, parameters = booster["model"], learner["learner_model_param"]
    if any(int(tree["tree_param"].get("size_leaf_vector", 1)) > 1 for tree in model["trees"]):
        raise Refusal("has trees with several outputs", where=where, remedy="use multi_strategy='one_output_per_tree'")
    width = int(parameters["num_feature"])
    sums = max(int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)), 1)
    columns = tuple(int(c) for c in model["tree_info"])
    if len(columns) != len(model["trees"]) or any(not 0 <= c < sums for c in columns):
        raise ValueError(f"tree_info is not a class below {sums} for each tree")
    names = tuple(learner.get("feature_names", []))
    if names and len(names) != width:
        raise ValueError(f"it has {len(names)} names of {width} features")
    return XGBoost(
        trees=tuple(_tree(tree, width, t) for t, tree in enumerate(model["trees"])),
        columns=columns,
        objective=objective,
        margin=_margin(parameters["base_score"], objective, sums),
        names=names,
        width=width,
        categories=_categories(model.get("cats"), where),
        version=".".join(str(part) for part in document["version"]),
    )


def _margin(score: str, objective: str, sums: int) -> npt.NDArray[np.float32]:
    """Return base_score as margins, which XGBoost computes in float32 with logarithms that are rounded once."""
    found = json.loads(score)
    scores = np.array(found if isinstance(found, list) else [found], np.float32)
    if len(scores) == 1:
        scores = np.repeat(scores, sums)
    if len(scores) != sums:
        raise ValueError(f"base_score has {len(scores)} values for {sums} sums")
    if objective in _LOGISTIC:
        if not ((scores > 0) & (scores < 1)).all():
            raise ValueError(f"base_score is {score}, no probability")
        odds = np.float32(1) / scores - np.float32(1)
        return -np.log(odds.astype(np.float64)).astype(np.float32)
    if objective in _EXP:
        if not (scores > 0).all():
            raise ValueError(f"base_score is {score}, not above 0")
        return np.log(scores.astype(np.float64)).astype(np.float32)
    return scores


def _tree(tree: Any, width: int, number: int) -> Tree:
    left = np.array(tree["left_children"], np.int32)
    right = np.array(tree["right_children"], np.int32)
    features = np.array(tree["split_indices"], np.int32)
    conditions = np.array(tree["split_conditions"], np.float64).astype(np.float32).astype(np.float64)
    default_left = np.array(tree["default_left"], bool)
    n = len(left)
    inner = left != -1
    if not n or not (len(right) == len(features) == len(conditions) == len(default_left) == n):
        raise ValueError(f"the arrays of tree {number} differ in length")
    if ((left[inner] <= 0) | (left[inner] >= n) | (right[inner] <= 0) | (right[inner] >= n)).any():
        raise ValueError(f"tree {number} has a child that is no node")
    if ((features[inner] < 0) | (features[inner] >= width)).any():
        raise ValueError(f"tree {number} reads a feature that is not there")
    if np.bincount(np.concatenate([left[inner], right[inner]]), minlength=n).max(initial=0) > 1:
        raise ValueError(f"tree {number} has a node with two parents")
    flags = np.where(inner, NAN_MISSING + MISSING_LEFT * default_left, 0).astype(np.uint8)
    sets = {}
    for at, start, size in zip(
        tree.get("categories_nodes", []),
        tree.get("categories_segments", []),
        tree.get("categories_sizes", []),
        strict=True,
    ):
        sets[int(at)] = bitset([int(c) for c in tree["categories"][start : start + size]])
        left[at], right[at] = right[at], left[at]
        flags[at] = (flags[at] ^ MISSING_LEFT) | CATEGORICAL | NO_NEGATIVE
    if np.flatnonzero(np.array(tree.get("split_type", []), np.int32) * 1).tolist() != sorted(sets):
        raise ValueError(f"tree {number} has categorical nodes without categories")
    return Tree(
        feature=np.where(inner, features, -1).astype(np.int32),
        threshold=np.where(inner & (flags & CATEGORICAL == 0), conditions, 0.0),
        left=left,
        right=right,
        flags=flags,
        values=conditions[:, None],
        sets=sets,
    )


def _categories(cats: Any, where: str) -> dict[int, tuple[Any, ...]]:
    """Return the categories of each column that has some, in the order of their codes: all texts, or all numbers."""
    found: dict[int, tuple[Any, ...]] = {}
    for i, column in enumerate((cats or {}).get("enc", [])):
        offsets, values = column.get("offsets"), column["values"]
        if offsets is None:
            found[i] = tuple(float(v) for v in values)
        elif any(not 0 <= v < 128 for v in values):
            raise Refusal(
                f"has categories of feature {i} that are not ASCII, which XGBoost cuts off",
                where=where,
                remedy="fit it on codes, as of OrdinalEncoder",
            )
        else:
            data = bytes(values)
            found[i] = tuple(data[a:b].decode() for a, b in pairwise(offsets))
    return {i: categories for i, categories in found.items() if categories}


@importer(XGBoost)
def xgboost(model: XGBoost, value: Value, place: Place) -> Prediction:
    """Sum the trees in float32, and apply the objective's link in float64."""
    if model.objective.startswith("binary:") and len(model.margin) > 1:
        raise place.refuse("has several labels a row", "fit one classifier a label")
    table = _codes(model, value).narrow()
    base = model.margin.astype(np.float64)
    margin = ensemble(
        table, model.trees, base=base, columns=model.columns, less=True, single=True, accepts="no_infinity"
    )
    if model.objective in _MULTI:
        return Prediction(labels=model.labels, decision=margin, probability=margin.link("softmax"))
    if model.objective == "binary:hinge":
        return Prediction(labels=model.labels, decision=margin)
    if model.labels:
        return Prediction(labels=model.labels, decision=margin, probability=margin.link("binary"))
    if model.objective == "reg:logistic":
        return Prediction(value=margin.link("sigmoid"))
    return Prediction(value=margin.link("exp") if model.objective in _EXP else margin)


def _codes(model: XGBoost, value: Value) -> Value:
    """Return the columns with categories as their codes. XGBoost refuses unknown ones; missing ones are missing."""
    if not model.categories:
        return value
    columns = value.columns()
    for i, categories in model.categories.items():
        codes = {category: float(code) for code, category in enumerate(categories)}
        if isinstance(categories[0], str):
            columns[i] = columns[i].lookup_texts(codes | {None: math.nan}, unknown=None)
        else:
            columns[i] = columns[i].lookup_numbers(codes | {math.nan: math.nan}, unknown=None)
    return concat(columns)
