"""scikit-learn's trees, forests and boosting: importers and the engine's C code together, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
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
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from pytrain.errors import Refusal
from pytrain.plan.importing import import_model
from pytrain.plan.trees import evaluate, find_leaves
from tests.pytrain.plan.helper import amounts, compare, numbers, table, targets

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
EXACT = 1e-12
SMALL = {"n_estimators": 7, "random_state": 0}


def assert_exact(estimator: Any, data: Any) -> Any:
    found = compare(estimator, data, most=200)
    assert found.worst <= EXACT, f"off by {found.worst:.3g}"
    assert found.answered >= 50
    return found.model


CLASSIFIERS = {
    "DecisionTree": DecisionTreeClassifier(random_state=0),
    "DecisionTree of one leaf": DecisionTreeClassifier(max_depth=1, min_samples_leaf=100),
    "DecisionTree by leaves": DecisionTreeClassifier(max_leaf_nodes=9, random_state=0, class_weight="balanced"),
    "ExtraTree": ExtraTreeClassifier(random_state=0),
    "RandomForest": RandomForestClassifier(**SMALL),
    "RandomForest of 33 leaves": RandomForestClassifier(max_leaf_nodes=33, **SMALL),
    "ExtraTrees": ExtraTreesClassifier(max_leaf_nodes=12, **SMALL),
    "GradientBoosting": GradientBoostingClassifier(**SMALL),
    "GradientBoosting from zero": GradientBoostingClassifier(init="zero", subsample=0.5, **SMALL),
    "HistGradientBoosting": HistGradientBoostingClassifier(max_iter=9, min_samples_leaf=3),
    "HistGradientBoosting of 60 leaves": HistGradientBoostingClassifier(
        max_iter=3, min_samples_leaf=1, max_leaf_nodes=60, l2_regularization=1
    ),
}
REGRESSORS = {
    "DecisionTree": DecisionTreeRegressor(random_state=0, max_depth=6),
    "DecisionTree by absolute error": DecisionTreeRegressor(criterion="absolute_error", max_depth=4, random_state=0),
    "ExtraTree": ExtraTreeRegressor(random_state=0),
    "RandomForest": RandomForestRegressor(**SMALL),
    "ExtraTrees": ExtraTreesRegressor(max_leaf_nodes=31, **SMALL),
    "GradientBoosting": GradientBoostingRegressor(**SMALL),
    "GradientBoosting by Huber": GradientBoostingRegressor(loss="huber", learning_rate=0.3, max_leaf_nodes=5, **SMALL),
    "GradientBoosting by quantile": GradientBoostingRegressor(loss="quantile", **SMALL),
    "GradientBoosting from a mean": GradientBoostingRegressor(init=DummyRegressor(), **SMALL),
    "HistGradientBoosting": HistGradientBoostingRegressor(max_iter=9, min_samples_leaf=3),
    "HistGradientBoosting, poisson": HistGradientBoostingRegressor(loss="poisson", max_iter=9, min_samples_leaf=3),
    "HistGradientBoosting, gamma": HistGradientBoostingRegressor(loss="gamma", max_iter=9, min_samples_leaf=3),
    "HistGradientBoosting, quantile": HistGradientBoostingRegressor(loss="quantile", quantile=0.8, max_iter=9),
    "HistGradientBoosting, absolute": HistGradientBoostingRegressor(loss="absolute_error", max_iter=9),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name: str, classes: int) -> None:
    x = numbers()
    assert_exact(CLASSIFIERS[name].fit(x, targets(classes=classes)), x)


def test_exponential_loss() -> None:
    x = numbers()
    assert_exact(GradientBoostingClassifier(loss="exponential", **SMALL).fit(x, targets()), x)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name: str) -> None:
    x = numbers()
    assert_exact(REGRESSORS[name].fit(x, amounts()), x)


MISSING = ("DecisionTree", "RandomForest", "ExtraTrees", "HistGradientBoosting", "HistGradientBoosting of 60 leaves")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MISSING)
def test_missing_values(name: str, seed: int) -> None:
    x = numbers(missing=True, seed=seed)
    y = (np.nan_to_num(x[:, 0]) + np.isnan(x[:, 1]) * 3 + np.isnan(x[:, 0]) * (seed - 1) * 3 > 0).astype(int)
    assert_exact(CLASSIFIERS[name].fit(x, y), x)


@pytest.mark.parametrize("missing", ["None", "NaN"])
@pytest.mark.parametrize("classes", [2, 3])
def test_categories_of_histograms(missing: str, classes: int) -> None:
    frame = table(missing=missing)
    frame["kind"] = frame["kind"].where(np.random.default_rng(2).random(len(frame)) > 0.2, "rare")
    y = targets(classes=classes)
    y[frame["city"].isna() | (frame["kind"] == "b")] = 1
    model = HistGradientBoostingClassifier(
        max_iter=9, min_samples_leaf=2, categorical_features=["city", "kind"], random_state=0
    ).fit(frame, y)
    plan = assert_exact(model, frame).plan
    assert "bits" in next(node for node in plan.nodes if node.op == "trees").tensors


def test_numeric_categories_of_histograms() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 70, 400), rng.normal(size=400), rng.integers(-3, 4, 400)]).astype(float)
    x[rng.random(x.shape) < 0.05] = np.nan
    y = np.nan_to_num(x[:, 0]) % 3 + np.nan_to_num(x[:, 2]) ** 2 + np.isnan(x[:, 0]) * 4
    for features in ([0, 2], [0, 1, 2][:1]):
        assert_exact(
            HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=2, categorical_features=features).fit(x, y), x
        )


def test_embedding() -> None:
    x = numbers()
    embedding = RandomTreesEmbedding(n_estimators=5, max_depth=4, random_state=0)
    assert_exact(embedding.fit(x), x)
    assert_exact(make_pipeline(RandomTreesEmbedding(max_leaf_nodes=9, random_state=1), Ridge()).fit(x, amounts()), x)


def test_in_a_pipeline() -> None:
    frame = table()
    columns = ColumnTransformer([("c", OneHotEncoder(), ["city", "kind"]), ("n", StandardScaler(), ["size", "price"])])
    for forest in (RandomForestClassifier(max_leaf_nodes=25, **SMALL), GradientBoostingClassifier(**SMALL)):
        model = make_pipeline(columns, forest)
        assert_exact(model.fit(frame, targets()), frame)


@pytest.mark.parametrize("kind", ["sklearn", "hist"])
def test_every_threshold(kind: str) -> None:
    """Rows at each threshold and one unit in the last place from it, in float32 and in float64."""
    x = numbers()
    model: Any = (
        HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=3).fit(x, amounts())
        if kind == "hist"
        else RandomForestRegressor(n_estimators=20, max_leaf_nodes=31, random_state=0).fit(x, amounts())
    )
    plan = import_model(model, file="m").plan
    trees = next(node for node in plan.nodes if node.op == "trees").tensors
    inner = trees["feature"].array >= 0
    rng = np.random.default_rng(0)
    thresholds, features = trees["threshold"].array[inner], trees["feature"].array[inner]
    rows = []
    for near in (0, 1, -1):
        for single in (False, True):
            moved = thresholds.astype(np.float32) if single else thresholds
            moved = np.nextafter(moved, np.inf * near) if near else moved
            some = x[rng.integers(0, len(x), len(moved))]
            some[np.arange(len(moved)), features] = moved
            rows.append(some)
    at = np.concatenate(rows)
    from tests.pytrain.plan.reference import run

    got, refused = run(plan, {"x": at})
    assert not refused.any()
    np.testing.assert_array_equal(got["value"][:, 0], model.predict(at))


def test_special_numbers() -> None:
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.7e308, -1.7e308, 1e39, 3.4028236e38]
    x = np.array([[a, b, 0.0, 1.0] for a in special for b in special])
    from tests.pytrain.plan.reference import run

    model = HistGradientBoostingRegressor(max_iter=9, min_samples_leaf=3).fit(numbers(missing=True), amounts())
    got, refused = run(import_model(model, file="m").plan, {"x": x})
    assert not refused.any()
    np.testing.assert_array_equal(got["value"][:, 0], model.predict(x))

    forest = RandomForestRegressor(max_leaf_nodes=20, **SMALL).fit(numbers(missing=True), amounts())
    got, refused = run(import_model(forest, file="m").plan, {"x": x})
    with np.errstate(over="ignore"):
        infinite = np.isinf(x.astype(np.float32)).any(axis=1)
    assert np.array_equal(refused, infinite)
    np.testing.assert_array_equal(got["value"][~infinite, 0], forest.predict(x[~infinite]))


def test_refusals() -> None:
    x, y = numbers(), amounts()
    with pytest.raises(Refusal, match=r"model: DecisionTreeRegressor: has 2 outputs"):
        import_model(DecisionTreeRegressor().fit(x, np.column_stack([y, y])), file="m")
    with pytest.raises(Refusal, match="has the init LogisticRegression, which is no constant"):
        import_model(GradientBoostingClassifier(init=LogisticRegression(), **SMALL).fit(x, targets()), file="m")
    with pytest.raises(Refusal, match="RandomForestClassifier: has several outputs; fit one classifier an output"):
        import_model(RandomForestClassifier(**SMALL).fit(x, np.column_stack([targets(), targets()])), file="m")


def test_the_slow_evaluation_agrees() -> None:
    from pytrain.plan import forests as module

    x = pd.DataFrame(numbers(missing=True)).to_numpy()
    model = HistGradientBoostingRegressor(max_iter=9, min_samples_leaf=3).fit(x, amounts())
    known, of_feature = model._bin_mapper.make_known_categories_bitsets()
    trees = [module._hist_tree(p, known, of_feature) for (p,) in model._predictors]
    base = np.ravel(model._baseline_prediction)
    np.testing.assert_array_equal(evaluate(trees, x, base, [0] * 9)[:, 0], model.predict(x))
    assert (trees[0].feature[find_leaves(trees[0], x)] < 0).all()
