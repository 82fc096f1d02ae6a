"""Importers of scikit-learn's trees, forests and gradient boosting.

Trees and forests round X to float32, and compare with thresholds in float64. Histogram gradient boosting compares
float64.
"""

from __future__ import annotations

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

from pytrain.plan.labels import labels_of
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer, transform
from pytrain.plan.trees import CATEGORICAL, MISSING_LEFT, NAN_MISSING, NO_NEGATIVE, Tree, ensemble, leaves
from pytrain.plan.values import Value, concat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytrain.plan.places import Place

    Floats = npt.NDArray[np.float64]


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


def _mean(estimator: Any, members: Sequence[Any], value: Value, place: Place) -> Value:
    trees, accepts = _fitted(estimator, members, value, place)
    base = np.zeros(trees[0].values.shape[1])
    return ensemble(value.narrow(), trees, base=base, divide=len(trees), accepts=accepts)


@importer(DecisionTreeClassifier, ExtraTreeClassifier)
def tree_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the shares of the classes in the leaf."""
    return Prediction(
        labels=labels_of(estimator.classes_, place), probability=_mean(estimator, [estimator], value, place)
    )


@importer(DecisionTreeRegressor, ExtraTreeRegressor)
def tree_regressor(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the mean of the leaf."""
    return Prediction(value=_mean(estimator, [estimator], value, place))


@importer(RandomForestClassifier, ExtraTreesClassifier)
def forest_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Return the mean of the trees' shares."""
    return Prediction(
        labels=labels_of(estimator.classes_, place), probability=_mean(estimator, estimator.estimators_, value, place)
    )


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
        return Prediction(labels=labels_of(estimator.classes_, place), decision=raw, probability=raw.link("softmax"))
    margin = raw.mul(2.0) if estimator.loss == "exponential" else raw
    return Prediction(
        labels=labels_of(estimator.classes_, place),
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
    return Prediction(labels=labels_of(estimator.classes_, place), decision=raw, probability=probability)


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
