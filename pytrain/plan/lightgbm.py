"""LightGBM's text files, read without LightGBM.

A file is a head of `key=value` lines, a block for each tree, and parameters that matter to training only. A node's
`decision_type` has bits: 1 categorical, 2 missing values go left, and from 4 on the kind of missing values: 0 none
(NaN is 0), 1 zero and NaN, 2 NaN. Children of −1, −2, … are the leaves 0, 1, …

LightGBM takes numbers within ±1e-35 for 0 before it compares. Thresholds within are moved to the end of that range, so
that the comparison with the number itself goes the same way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.errors import InputError, Refusal
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer
from pytrain.plan.trees import CATEGORICAL, MISSING_LEFT, NAN_MISSING, ZERO, ZERO_MISSING, Tree, ensemble, evaluate
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.plan.places import Place

    Floats = npt.NDArray[np.float64]

VERSIONS = ("v2", "v3", "v4")
_MISSING_FLAGS = (0, ZERO_MISSING, NAN_MISSING)
_REMEDY = "write it again with Booster.save_model"

_IDENTITY = (
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom", "none",
    "",
)  # fmt: skip
_EXP = ("poisson", "gamma", "tweedie")
_SIGMOID = ("binary", "cross_entropy")
OBJECTIVES = (*_IDENTITY, *_EXP, *_SIGMOID, "multiclass", "multiclassova", "cross_entropy_lambda")
_CLASSIFIERS = ("binary", "multiclass", "multiclassova")


@dataclass(frozen=True)
class LightGBM:
    """A model as its file has it.

    Attributes
    ----------
    trees
        In the order of the file: iteration after iteration, in each a tree a class.
    classes
        Trees of an iteration.
    objective, parameters
        As `binary` and its `{"sigmoid": "1"}`.
    average
        The sum is divided by the number of iterations, as of random forests.
    categories
        Of a model that was fitted on a DataFrame: the categories of columns of pandas' `category`.
    """

    trees: tuple[Tree, ...]
    classes: int
    objective: str
    parameters: Mapping[str, str]
    average: bool
    names: tuple[str, ...]
    categories: Mapping[int, tuple[Any, ...]]
    version: str

    def __repr__(self) -> str:
        return (
            f"LightGBM({self.version}, objective={self.objective!r}, {len(self.trees)} trees, {self.classes} classes)"
        )

    @property
    def n_features_in_(self) -> int:
        """The columns of the fitted data."""
        return len(self.names)

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """The names of the columns.

        Raises
        ------
        AttributeError
            It was fitted on an array.
        """
        if self.names == tuple(f"Column_{i}" for i in range(len(self.names))):
            raise AttributeError("it was fitted on an array")
        return np.array(self.names, object)

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes, which LightGBM numbers; empty of a regression."""
        if self.objective not in _CLASSIFIERS:
            return ()
        return tuple(range(2 if self.objective == "binary" else self.classes))

    @property
    def columns(self) -> list[int]:
        """The class of each tree."""
        return [t % self.classes for t in range(len(self.trees))]

    @property
    def sigmoid(self) -> float:
        """What a raw score is multiplied with before its sigmoid is taken."""
        return float(self.parameters.get("sigmoid", "1"))

    @property
    def divide(self) -> float:
        """What the sum is divided by."""
        return len(self.trees) / self.classes if self.average else 1.0

    def first(self, iterations: int) -> LightGBM:
        """Return a model of its first iterations alone, as of the best one after early stopping."""
        return replace(self, trees=self.trees[: iterations * self.classes])

    def predict_raw(self, x: Any) -> Floats:
        """Return the sums (n, classes) of rows (n, w); for golden rows, not for speed."""
        table = np.asarray(_coded(self, x), np.float64)
        return evaluate(self.trees, table, np.zeros(self.classes), self.columns, divide=self.divide)

    def predict_proba(self, x: Any) -> Floats:
        """Return a column (n, k) a class."""
        raw = self.predict_raw(x)
        if self.objective == "multiclass":
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        one = 1 / (1 + np.exp(-self.sigmoid * raw))
        return np.hstack([1 - one, one]) if self.objective == "binary" else one

    def predict(self, x: Any) -> Floats:
        """Return the value (n,) or, of classes, the place of the greatest probability."""
        if self.labels:
            return np.asarray(self.predict_proba(x).argmax(axis=1))
        raw = self.predict_raw(x)
        if self.objective in _EXP:
            raw = np.exp(raw)
        elif self.objective == "cross_entropy":
            raw = 1 / (1 + np.exp(-raw))
        elif self.objective == "cross_entropy_lambda":
            raw = np.log1p(np.exp(raw))
        return raw[:, 0] if self.classes == 1 else raw


def _coded(model: LightGBM, x: Any) -> Any:
    if not model.categories:
        return x
    table = {}
    for i, name in enumerate(x.columns):
        column = x[name]
        if i in model.categories:
            codes = {category: float(code) for code, category in enumerate(model.categories[i])}
            column = column.map(codes)
        table[name] = column.astype(float)
    return np.column_stack(list(table.values()))


def read(path: Path) -> LightGBM:
    """Read a file that Booster.save_model or LGBMModel.booster_.save_model wrote.

    Raises
    ------
    InputError
        It cannot be read, or is no whole file of LightGBM.
    Refusal
        It holds what no plan can express exactly.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"cannot be read: {e}", where=str(path), remedy="name a model that LightGBM saved") from e
    return parse(text, where=str(path))


def parse(text: str, *, where: str) -> LightGBM:
    """Read the text of a file; see `read`."""
    try:
        return _parse(text, where)
    except (KeyError, ValueError, IndexError) as e:
        raise InputError(f"is no whole model of LightGBM: {e}", where=where, remedy=_REMEDY) from e


def _fields(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines if line.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _parse(text: str, where: str) -> LightGBM:
    body, end, rest = text.replace("\r\n", "\n").partition("\nend of trees")
    if not text.startswith("tree") or not end:
        raise ValueError("it has no trees, or no `end of trees`")
    first, *blocks = body.split("\nTree=")
    head = _fields(first.splitlines())
    if head["version"] not in VERSIONS:
        raise Refusal(f"is of version {head['version']}", where=where, remedy=f"use one of {', '.join(VERSIONS)}")
    objective, *parameters = head.get("objective", "").split() or [""]
    if objective not in OBJECTIVES or "sqrt" in parameters:
        raise Refusal(
            f"has the objective {head['objective']!r}",
            where=where,
            remedy=f"use one of {', '.join(filter(None, OBJECTIVES))}",
        )
    classes = int(head["num_tree_per_iteration"])
    names = tuple(head["feature_names"].split())
    if len(names) != int(head["max_feature_idx"]) + 1:
        raise ValueError("feature_names does not name each feature")
    sizes = head.get("tree_sizes")
    if not blocks or len(blocks) % classes or (sizes is not None and len(sizes.split()) != len(blocks)):
        raise ValueError(f"it has {len(blocks)} trees for {classes} classes")
    return LightGBM(
        trees=tuple(_tree(block, len(names), f"{where}: Tree={t}") for t, block in enumerate(blocks)),
        classes=classes,
        objective=objective,
        parameters=dict(p.split(":", 1) for p in parameters if ":" in p),
        average="average_output" in head,
        names=names,
        categories=_categories(rest, head.get("feature_infos", "").split(), where),
        version=head["version"],
    )


def _categories(rest: str, infos: Sequence[str], where: str) -> dict[int, tuple[Any, ...]]:
    """Return pandas' categories by column. The file has them in the order of categorical columns, without names."""
    line = next(
        (line for line in rest.splitlines() if line.startswith("pandas_categorical:")), "pandas_categorical:null"
    )
    lists = json.loads(line.partition(":")[2]) or []
    # A categorical column's info is its codes, 0:1:2, a number's its range, [0:1], that of a column of one value none.
    columns = [i for i, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if not lists:
        return {}
    if len(columns) != len(lists):
        raise Refusal(
            f"has {len(lists)} columns of pandas' categories, and {len(columns)} categorical features",
            where=where,
            remedy="fit it on codes, as of OrdinalEncoder, with categorical_feature",
        )
    for categories in lists:
        if not (all(isinstance(c, str) for c in categories) or all(type(c) in (int, float) for c in categories)):
            raise Refusal(
                "has a column of categories that are neither all texts nor all numbers",
                where=where,
                remedy="use categories of one type",
            )
    return {i: tuple(categories) for i, categories in zip(columns, lists, strict=True)}


def _tree(block: str, width: int, where: str) -> Tree:
    number, *lines = block.split("\n")
    block_fields = _fields(lines)
    if block_fields.get("is_linear", "0") != "0":
        raise Refusal("has linear models in its leaves", where=where, remedy="train it with linear_tree=false")
    leaves = int(block_fields["num_leaves"])
    inner = leaves - 1

    def array(name: str, kind: Callable[[str], Any], count: int) -> list[Any]:
        found = [kind(word) for word in block_fields.get(name, "").split()] if count else []
        if len(found) != count:
            raise ValueError(f"{name} of tree {number} has {len(found)} values, not {count}")
        return found

    values = array("leaf_value", float, leaves)
    features = array("split_feature", int, inner)
    types = array("decision_type", int, inner)
    thresholds = array("threshold", float, inner)
    children = [array("left_child", int, inner), array("right_child", int, inner)]
    if any(not 0 <= f < width for f in features) or any(not -leaves <= c < inner for side in children for c in side):
        raise ValueError(f"a node of tree {number} names a feature or a child that is not there")
    if any(t >> 2 > 2 for t in types):
        raise ValueError(f"a node of tree {number} has an unknown kind of missing values")
    boundaries = array("cat_boundaries", int, sets + 1 if (sets := int(block_fields["num_cat"])) else 0)
    words = np.array(array("cat_threshold", int, boundaries[-1] if sets else 0), np.uint32)
    flags = [_flags(t) for t in types]
    # Nodes come first, then leaves; a tree of one leaf has no node.
    place = np.array([[c if c >= 0 else inner + ~c for c in side] for side in children], np.int32).reshape(2, inner)
    after = np.full(leaves, -1, np.int32)
    return Tree(
        feature=np.concatenate([np.array(features, np.int32), after]),
        threshold=np.array(
            [0.0 if f & CATEGORICAL else _moved(t) for t, f in zip(thresholds, flags, strict=True)] + [0.0] * leaves
        ),
        left=np.concatenate([place[0], after]),
        right=np.concatenate([place[1], after]),
        flags=np.array(flags + [0] * leaves, np.uint8),
        values=np.array([0.0] * inner + values)[:, None],
        sets={
            i: words[boundaries[int(t)] : boundaries[int(t) + 1]]
            for i, (t, f) in enumerate(zip(thresholds, flags, strict=True))
            if f & CATEGORICAL
        },
    )


def _flags(decision: int) -> int:
    if decision & 1:
        return CATEGORICAL | NAN_MISSING  # NaN is in no set, whatever the kind of missing values
    return _MISSING_FLAGS[decision >> 2] | (MISSING_LEFT if decision & 2 else 0)


def _moved(threshold: float) -> float:
    if 0 <= threshold < ZERO:
        return ZERO
    return float(np.nextafter(-ZERO, -np.inf)) if -ZERO <= threshold < 0 else threshold


@importer(LightGBM)
def lightgbm(model: LightGBM, value: Value, _place: Place) -> Prediction:
    """Sum the trees, and apply the objective's link."""
    base = np.zeros(model.classes)
    raw = ensemble(_codes(model, value).dense(), model.trees, base=base, columns=model.columns, divide=model.divide)
    scaled = raw.mul(model.sigmoid) if model.sigmoid != 1 else raw
    match model.objective:
        case "binary":
            return Prediction(labels=model.labels, decision=raw, probability=scaled.link("binary"))
        case "multiclass":
            return Prediction(labels=model.labels, decision=raw, probability=raw.link("softmax"))
        case "multiclassova":
            return Prediction(labels=model.labels, decision=raw, probability=scaled.link("sigmoid"))
        case "cross_entropy":
            return Prediction(value=raw.link("sigmoid"))
        case "cross_entropy_lambda":
            return Prediction(value=raw.link("exp").function("log1p"))
    return Prediction(value=raw.link("exp") if model.objective in _EXP else raw)


def _codes(model: LightGBM, value: Value) -> Value:
    """Return the columns with pandas' categories as their numbers; unknown ones are missing."""
    if not model.categories:
        return value
    columns = value.columns()
    for i, categories in model.categories.items():
        codes = {category: float(code) for code, category in enumerate(categories)}
        text = bool(categories) and isinstance(categories[0], str)
        nan = float("nan")
        columns[i] = (
            columns[i].lookup_texts(codes, unknown=nan) if text else columns[i].lookup_numbers(codes, unknown=nan)
        )
    return concat(columns)
