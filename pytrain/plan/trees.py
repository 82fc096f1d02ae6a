"""Trees as plans have them, and the importers of scikit-learn's trees, forests and boosting.

Tree         one tree: its nodes, its leaves' values
ensemble     trees as a node of a plan that sums them
leaves       trees as a node that numbers their leaves
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from pytrain.plan.graph import Prediction, Value, concat, node
from pytrain.plan.registry import importer, transform
from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.plan.places import Place

    Ints = npt.NDArray[np.int32]
    Floats = npt.NDArray[np.float64]

# Flags of a node; docs/plan-format.md says what each does.
MISSING_LEFT, ZERO_MISSING, NAN_MISSING, CATEGORICAL, NO_NEGATIVE = 1, 2, 4, 8, 16

# LightGBM's kZeroThreshold: numbers that are not further from 0 are 0.
ZERO = float(np.float32(1e-35))


@dataclass(frozen=True)
class Tree:
    """One tree of n nodes, the root first.

    Attributes
    ----------
    feature
        (n,), −1 at a leaf.
    threshold
        (n,).
    left, right
        (n,) numbers of nodes; anything at a leaf.
    flags
        (n,) uint8.
    values
        (n, v) values of a leaf; anything elsewhere.
    sets
        Of categorical nodes by their number: words of 32 bits, the categories that go left.
    """

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    flags: npt.NDArray[np.uint8]
    values: Floats
    sets: Mapping[int, npt.NDArray[np.uint32]] = field(default_factory=dict)


def bitset(categories: Sequence[int]) -> npt.NDArray[np.uint32]:
    """Return words of 32 bits with a bit for each category, a whole number of at least 0."""
    words = np.zeros(max(categories, default=-1) // 32 + 1, np.uint32)
    for category in categories:
        words[category // 32] |= np.uint32(1 << category % 32)
    return words


def _in_preorder(tree: Tree) -> Tree:
    """Renumber the nodes so that children come after their parents, as plans have it."""
    inner = tree.feature >= 0
    number = np.arange(len(inner))
    if (tree.left > number)[inner].all() and (tree.right > number)[inner].all():
        return tree
    order: list[int] = []
    stack = [0]
    while stack:
        at = stack.pop()
        order.append(at)
        if tree.feature[at] >= 0:
            stack += [int(tree.right[at]), int(tree.left[at])]
    place = np.full(len(inner), -1, np.int32)
    place[order] = np.arange(len(order))
    return Tree(
        feature=tree.feature[order],
        threshold=tree.threshold[order],
        left=np.where(inner, place[tree.left * inner], -1)[order],
        right=np.where(inner, place[tree.right * inner], -1)[order],
        flags=tree.flags[order],
        values=tree.values[order],
        sets={int(place[at]): words for at, words in tree.sets.items() if place[at] >= 0},
    )


def tensors(trees: Sequence[Tree], base: npt.ArrayLike) -> dict[str, Tensor]:
    """Return the objects of `trees` and `leaves`. Leaves that share a row of values have it once."""
    trees = [_in_preorder(tree) for tree in trees]
    sizes = [len(tree.feature) for tree in trees]
    starts = np.cumsum([0, *sizes])[:-1].astype(np.int32)
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
    inner = feature >= 0
    offset = np.repeat(starts, sizes)
    values = np.concatenate([tree.values for tree in trees]).astype(np.float64)[~inner]
    rows = np.ascontiguousarray(values).view(np.dtype((np.void, values.shape[1] * 8)))[:, 0]
    _, first, row = np.unique(rows, return_index=True, return_inverse=True)
    leaf = np.full(len(feature), -1, np.int32)
    leaf[~inner] = row
    arrays: dict[str, npt.NDArray[Any]] = {
        "roots": starts,
        "feature": np.where(inner, feature, -1).astype(np.int32),
        "threshold": np.where(inner, np.concatenate([tree.threshold for tree in trees]), 0).astype(np.float64),
        "left": np.where(inner, np.concatenate([tree.left for tree in trees]) + offset, -1).astype(np.int32),
        "right": np.where(inner, np.concatenate([tree.right for tree in trees]) + offset, -1).astype(np.int32),
        "leaf": leaf,
        "flags": np.where(inner, np.concatenate([tree.flags for tree in trees]), 0).astype(np.uint8),
        "values": values[first],
        "base": np.atleast_1d(np.asarray(base, np.float64)),
    }
    if any(tree.sets for tree in trees):
        arrays |= _sets(trees, starts, len(feature))
    return {name: Tensor(array) for name, array in arrays.items()}


def _sets(trees: Sequence[Tree], starts: Ints, nodes: int) -> dict[str, npt.NDArray[Any]]:
    found: dict[bytes, int] = {}  # equal sets are kept once
    words: list[npt.NDArray[np.uint32]] = []
    start, count = np.zeros(nodes, np.int32), np.zeros(nodes, np.int32)
    total = 0
    for first, tree in zip(starts, trees, strict=True):
        for at, bits in tree.sets.items():
            key = bits.tobytes()
            if key not in found:
                found[key] = total
                words.append(bits)
                total += len(bits)
            start[first + at], count[first + at] = found[key], len(bits)
    return {"bits": np.concatenate(words).astype(np.uint32), "bit_start": start, "bit_count": count}


def ensemble(
    value: Value,
    trees: Sequence[Tree],
    *,
    base: npt.ArrayLike = 0.0,
    columns: Sequence[int] | None = None,
    divide: float = 1.0,
    less: bool = False,
    single: bool = False,
    accepts: str = "any",
) -> Value:
    """Return the sum of the trees' leaves.

    Parameters
    ----------
    value
        float64 or float32, dense.
    base
        (k,) what the sum starts with.
    columns
        The output column of each tree, if leaves have one value; else they have k.
    divide
        The sum is divided by this.
    less
        Nodes ask `x < threshold`, else `x <= threshold`.
    single
        Every sum is rounded to float32.
    accepts
        `any`, `no_infinity` or `finite`: rows with other numbers are refused.
    """
    settings: dict[str, Any] = {"compare": "lt" if less else "le", "accepts": accepts}
    if columns is not None and np.size(base) > 1:
        settings["columns"] = tuple(columns)
    if divide != 1:
        settings["divide"] = float(divide)
    if single:
        settings["precision"] = "float32"
    return node("trees", [value], settings, tensors(trees, base))


def leaves(value: Value, trees: Sequence[Tree], *, accepts: str = "any") -> Value:
    """Return the number of each tree's leaf, in the order of its nodes."""
    width = trees[0].values.shape[1]
    return node("leaves", [value], {"compare": "le", "accepts": accepts}, tensors(trees, np.zeros(width)))


def find_leaves(tree: Tree, x: Floats, *, less: bool = False) -> Ints:
    """Return the leaf (n,) of each row of x (n, w), as the numbers of nodes. For golden rows, not for speed."""
    packed = _sets([tree], np.zeros(1, np.int32), len(tree.feature)) if tree.sets else {}
    at = np.zeros(len(x), np.int32)
    while len(rows := np.flatnonzero(tree.feature[at] >= 0)):
        nodes = at[rows]
        flags, found = tree.flags[nodes], x[rows, tree.feature[nodes]].astype(np.float64)
        found[np.isnan(found) & (flags & NAN_MISSING == 0)] = 0.0
        missing = np.isnan(found) | ((flags & ZERO_MISSING > 0) & (np.abs(found) <= ZERO))
        left = found < tree.threshold[nodes] if less else found <= tree.threshold[nodes]
        if len(sets := np.flatnonzero(flags & CATEGORICAL)):
            left[sets] = _in_sets(packed, nodes[sets], found[sets], flags[sets])
        left[missing] = flags[missing] & MISSING_LEFT > 0
        at[rows] = np.where(left, tree.left[nodes], tree.right[nodes])
    return at


def _in_sets(
    packed: Mapping[str, Any], nodes: Ints, values: Floats, flags: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Return whether each node's set has the value."""
    count = packed["bit_count"][nodes]
    inside = (values > -1) & (values < 32 * count) & ((flags & NO_NEGATIVE == 0) | (values >= 0))
    code = np.where(inside, values, 0).astype(np.int64)
    words = np.append(packed["bits"], np.uint32(0))[np.where(inside, packed["bit_start"][nodes] + code // 32, -1)]
    return np.asarray(inside & (words >> (code % 32).astype(np.uint32) & 1 > 0))


def evaluate(
    trees: Sequence[Tree],
    x: Floats,
    base: npt.NDArray[Any],
    columns: Sequence[int],
    *,
    divide: float = 1.0,
    less: bool = False,
) -> npt.NDArray[Any]:
    """Return what `trees` computes of rows x (n, w): sums (n, k), of float32 if the base (k,) is. For golden rows."""
    sums = np.repeat(base[None], len(x), axis=0)
    for tree, column in zip(trees, columns, strict=True):
        sums[:, column] += tree.values[find_leaves(tree, x, less=less), 0].astype(base.dtype)
    return np.asarray(sums / base.dtype.type(divide))


# --- scikit-learn's trees and forests. They round X to float32, and compare with thresholds in float64.


def _tree(estimator: Any, place: Place, *, missing: bool, scale: float = 1.0) -> Tree:
    if estimator.n_outputs_ != 1:
        raise place.refuse(f"has {estimator.n_outputs_} outputs", "fit one model an output")
    fitted = estimator.tree_
    state = fitted.__getstate__()["nodes"]
    inner = state["left_child"] >= 0
    flags = np.zeros(len(inner), np.uint8)
    if missing:
        flags[:] = NAN_MISSING + MISSING_LEFT * (state["missing_go_to_left"] != 0)
    return Tree(
        feature=np.where(inner, state["feature"], -1).astype(np.int32),
        threshold=state["threshold"],
        left=state["left_child"].astype(np.int32),
        right=state["right_child"].astype(np.int32),
        flags=flags,
        values=scale * fitted.value[:, 0, :],
    )


def _fitted(estimator: Any, members: Sequence[Any], value: Value, place: Place) -> tuple[list[Tree], str]:
    """Return the members' trees, and which numbers they accept. Of sparse columns scikit-learn takes no NaN."""
    missing = members[0].__sklearn_tags__().input_tags.allow_nan and not value.sparse
    places = (
        [place] if members[0] is estimator else [place.child(f"estimators_[{i}]", m) for i, m in enumerate(members)]
    )
    trees = [_tree(member, at, missing=missing) for member, at in zip(members, places, strict=True)]
    return trees, "no_infinity" if missing else "finite"


def _labels(estimator: Any) -> tuple[Any, ...]:
    return tuple(label.item() if isinstance(label, np.generic) else label for label in estimator.classes_)


def _mean(estimator: Any, members: Sequence[Any], value: Value, place: Place) -> Value:
    trees, accepts = _fitted(estimator, members, value, place)
    base = np.zeros(trees[0].values.shape[1])
    return ensemble(value.narrow(), trees, base=base, divide=len(trees), accepts=accepts)


@importer(DecisionTreeClassifier, ExtraTreeClassifier)
def tree_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the shares of the classes in the leaf."""
    return Prediction(labels=_labels(estimator), probability=_mean(estimator, [estimator], value, place))


@importer(DecisionTreeRegressor, ExtraTreeRegressor)
def tree_regressor(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the mean of the leaf."""
    return Prediction(value=_mean(estimator, [estimator], value, place))


@importer(RandomForestClassifier, ExtraTreesClassifier)
def forest_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the mean of the trees' shares."""
    return Prediction(labels=_labels(estimator), probability=_mean(estimator, estimator.estimators_, value, place))


@importer(RandomForestRegressor, ExtraTreesRegressor)
def forest_regressor(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the mean of the trees' means."""
    return Prediction(value=_mean(estimator, estimator.estimators_, value, place))


@importer(RandomTreesEmbedding)
def random_trees_embedding(estimator: Any, value: Value, place: Place) -> Value:
    """One column a leaf, 1 where the row is."""
    trees, accepts = _fitted(estimator, estimator.estimators_, value, place)
    sizes = []
    for tree, categories in zip(trees, estimator.one_hot_encoder_.categories_, strict=True):
        places = np.flatnonzero(tree.feature < 0)
        if not np.array_equal(places, categories):
            raise place.refuse("has leaves that no row of its training fell in", "fit it again")
        sizes.append(len(places))
    found = leaves(value.narrow(), trees, accepts=accepts).expand(sizes)
    return found if estimator.sparse_output else found.dense()


# --- gradient boosting


@importer(GradientBoostingClassifier, GradientBoostingRegressor)
def gradient_boosting(estimator: Any, value: Value, place: Place) -> Prediction:
    """Add the trees, times the learning rate, to the init's constant. These trees take no missing values."""
    stages, k = estimator.estimators_.shape
    trees = [
        _tree(estimator.estimators_[i, j], place, missing=False, scale=estimator.learning_rate)
        for i in range(stages)
        for j in range(k)
    ]
    base = _initial(estimator, place)
    raw = ensemble(value.narrow(), trees, base=base, columns=[*range(k)] * stages, accepts="finite")
    if isinstance(estimator, GradientBoostingRegressor):
        return Prediction(value=raw)
    if k > 1:
        return Prediction(labels=_labels(estimator), decision=raw, probability=raw.link("softmax"))
    margin = raw.mul(2.0) if estimator.loss == "exponential" else raw
    return Prediction(
        labels=_labels(estimator),
        decision=raw,
        probability=margin.link("binary"),
        index=raw.mul(-1.0).binarize(0.0).mul(-1.0).add(1.0),  # the second class where raw >= 0
    )


def _initial(estimator: Any, place: Place) -> Floats:
    init = estimator.init_
    constant = (
        (isinstance(init, str) and init == "zero")
        or (type(init) is DummyClassifier and init.strategy in ("prior", "most_frequent", "constant"))
        or type(init) is DummyRegressor
    )
    if not constant:
        name = init if isinstance(init, str) else type(init).__name__
        raise place.refuse(f"has the init {name}, which is no constant", "fit it with init=None or init='zero'")
    # A constant is the same for any row.
    row = np.zeros((1, estimator.n_features_in_), np.float32)
    return np.asarray(estimator._raw_predict_init(row)[0], np.float64)  # noqa: SLF001 - nothing public has it


_HIST_LINKS = {
    "squared_error": "",
    "absolute_error": "",
    "quantile": "",
    "poisson": "exp",
    "gamma": "exp",
    "log_loss": "",
}


@importer(HistGradientBoostingClassifier, HistGradientBoostingRegressor)
def hist_gradient_boosting(estimator: Any, value: Value, place: Place) -> Prediction:
    """Trees over float64. Categories that were not known at training go where missing values go."""
    if not isinstance(estimator.loss, str) or estimator.loss not in _HIST_LINKS:
        raise place.refuse(f"has the loss {estimator.loss!r}", f"use one of {', '.join(_HIST_LINKS)}")
    if estimator._preprocessor is not None:  # noqa: SLF001 - nothing public has it
        value = _preprocessed(estimator, value, place)
    known, of_feature = estimator._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001
    iterations = estimator._predictors  # noqa: SLF001
    k = len(iterations[0])
    trees = [_hist_tree(predictor, known, of_feature) for iteration in iterations for predictor in iteration]
    base = np.asarray(estimator._baseline_prediction, np.float64).reshape(-1)  # noqa: SLF001
    raw = ensemble(value.dense(), trees, base=base, columns=[*range(k)] * len(iterations))
    if isinstance(estimator, HistGradientBoostingRegressor):
        link = _HIST_LINKS[estimator.loss]
        return Prediction(value=raw.link(link) if link else raw)
    probability = raw.link("softmax" if k > 1 else "binary")
    return Prediction(labels=_labels(estimator), decision=raw, probability=probability)


def _preprocessed(estimator: Any, value: Value, place: Place) -> Value:
    """Return the columns as the trees number them: codes of categorical ones, then the others."""
    categorical = np.flatnonzero(estimator.is_categorical_)
    others = np.flatnonzero(~estimator.is_categorical_)
    encoder = estimator._preprocessor.named_transformers_["encoder"]  # noqa: SLF001
    parts = [transform(encoder, value.select(categorical.tolist()), place.child("categories", encoder)).dense()]
    if len(others):
        parts.append(value.select(others.tolist()).dense())
    return concat(parts)


def _hist_tree(predictor: Any, known: npt.NDArray[np.uint32], of_feature: npt.NDArray[np.uint32]) -> Tree:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    flags = np.full(len(inner), NAN_MISSING, np.uint8)
    missing_left = (nodes["missing_go_to_left"] != 0) & inner
    flags |= missing_left.astype(np.uint8) * np.uint8(MISSING_LEFT)
    left, right = nodes["left"].astype(np.int32), nodes["right"].astype(np.int32)
    sets = {}
    for at in np.flatnonzero(inner & (nodes["is_categorical"] != 0)):
        flags[at] |= CATEGORICAL | NO_NEGATIVE
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][at]].copy()
        if missing_left[at]:
            # What is in no set is to go left: the set becomes what goes right, and the children change places.
            words = known[of_feature[nodes["feature_idx"][at]]] & ~words
            flags[at] &= ~np.uint8(MISSING_LEFT)
            left[at], right[at] = right[at], left[at]
        sets[int(at)] = words
    return Tree(
        feature=np.where(inner, nodes["feature_idx"], -1).astype(np.int32),
        threshold=np.where(inner, nodes["num_threshold"], 0.0),
        left=left,
        right=right,
        flags=flags,
        values=nodes["value"][:, None],
        sets=sets,
    )
