"""LightGBM's files: our parser and the engine's C code, against LightGBM itself."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from pytrain.errors import InputError, Refusal
from pytrain.plan.importing import import_model
from pytrain.plan.lightgbm import parse, read
from tests.pytrain.plan.boosted import amounts, data, edges, output, raw, shared

QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": 0, "deterministic": True}


def fit(x: Any, y: Any, rounds: int = 12, categorical: Any = "auto", **parameters: Any) -> Any:
    fitted = lightgbm.train(
        QUIET | parameters, lightgbm.Dataset(x, y, categorical_feature=categorical, free_raw_data=False), rounds
    )
    return fitted, import_model(parse(fitted.model_to_string(), where="m"), file="m")


def assert_same(fitted: Any, model: Any, x: Any, name: str, *, exact: bool = True) -> None:
    """Compare sums to the last bit, and the output to 1e-12, at the edges too."""
    rows = edges(model.plan, x)
    got, refused = raw(model, rows)
    assert not refused.any()
    want = fitted.predict(rows, raw_score=True).reshape(got.shape)
    if exact:
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-12)
    got, _ = output(model, name, rows)
    want = fitted.predict(rows).reshape(len(rows), -1)
    want = np.hstack([1 - want, want]) if got.shape[1] == 2 and want.shape[1] == 1 else want
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    # What golden rows are made with agrees as well.
    again = model.estimator.predict_proba(rows) if name == "probability" else model.estimator.predict(rows)
    np.testing.assert_allclose(again.reshape(got.shape), got, rtol=1e-12, atol=1e-12)


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no missing values": ({}, {}),
    "NaN is missing": ({"missing": True}, {}),
    "zero is missing": ({"missing": True, "zeros": True}, {"zero_as_missing": True}),
    "many zeros": ({"zeros": True}, {}),
    "NaN is not used": ({"missing": True}, {"use_missing": False}),
    "33 to 64 leaves": ({"missing": True}, {"num_leaves": 60}),
    "more than 64 leaves": ({"missing": True}, {"num_leaves": 130, "min_data_in_leaf": 1}),
    "one leaf": ({}, {"min_data_in_leaf": 5000}),
    "thresholds near zero": ({"zeros": True}, {"max_bin": 4}),
}


@pytest.mark.parametrize("name", KINDS)
def test_missing_values(name: str) -> None:
    how, parameters = KINDS[name]
    x = data(**how)
    fitted, model = fit(x, amounts(x), objective="regression", **parameters)
    assert_same(fitted, model, x, "value")


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("categories", [2, 9, 70])
def test_categories(categories: int, missing: bool) -> None:
    x = data(900, categories=categories, missing=missing)
    fitted, model = fit(
        x, amounts(x), categorical=[4], objective="regression", cat_smooth=1, min_data_per_group=3, max_cat_to_onehot=3
    )
    assert "bits" in next(node for node in model.plan.nodes if node.op == "trees").tensors
    assert_same(fitted, model, x, "value")


OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary": {}, "binary with a slope": {"objective": "binary", "sigmoid": 1.7}, "cross_entropy": {},
    "cross_entropy_lambda": {}, "regression_l1": {}, "huber": {}, "fair": {}, "quantile": {"alpha": 0.3}, "mape": {},
    "poisson": {}, "gamma": {}, "tweedie": {"tweedie_variance_power": 1.3},
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name: str) -> None:
    parameters = {"objective": name} | OBJECTIVES[name]
    x = data(missing=True)
    y = amounts(x)
    if parameters["objective"] in ("binary", "cross_entropy", "cross_entropy_lambda"):
        y = (y > 0).astype(float)
    elif parameters["objective"] in ("poisson", "gamma", "tweedie"):
        y = np.abs(y) + 0.1
    fitted, model = fit(x, y, **parameters)
    assert_same(fitted, model, x, "probability" if model.plan.labels else "value")


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
def test_classes(objective: str) -> None:
    x = data(missing=True)
    y = np.digitize(amounts(x), [-1, 1])
    fitted, model = fit(x, y, objective=objective, num_class=3, sigmoid=0.8)
    assert model.plan.labels == (0, 1, 2)
    assert_same(fitted, model, x, "probability")


def test_random_forests_are_averaged() -> None:
    x = data()
    parameters: dict[str, Any] = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction": 0.6}
    fitted, model = fit(x, amounts(x), objective="regression", **parameters)
    got, _ = output(model, "value", x)
    np.testing.assert_allclose(got[:, 0], fitted.predict(x), rtol=1e-12)
    fitted, model = fit(x, np.digitize(amounts(x), [-1, 1]), objective="multiclass", num_class=3, **parameters)
    got, _ = output(model, "probability", x)
    np.testing.assert_allclose(got, fitted.predict(x), rtol=1e-12, atol=1e-12)


def test_random_models() -> None:
    rng = np.random.default_rng(5)
    for seed in range(12):
        x = data(500, missing=seed % 2 == 0, zeros=seed % 3 == 0, categories=int(rng.integers(2, 40)), seed=seed)
        fitted, model = fit(
            x, amounts(x), rounds=int(rng.integers(1, 40)), categorical=[4], objective="regression",
            num_leaves=int(rng.integers(2, 80)), zero_as_missing=bool(seed % 4 == 0), min_data_per_group=5,
            boosting=("gbdt", "dart", "goss")[seed % 3], max_bin=int(rng.integers(4, 255)),
        )  # fmt: skip
        assert_same(fitted, model, x, "value")


def test_columns_of_a_frame() -> None:
    x = data(500, missing=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(x[:, :2], columns=["a", "b"])
    frame["city"] = pd.Categorical(rng.choice(["Oslo", "Łódź", "São Paulo"], 500))
    frame["size"] = pd.Categorical(rng.choice([3, 5, 8], 500))
    y = np.nan_to_num(x[:, 0]) + (frame["city"] == "Oslo") * 2 - (frame["size"] == 5)
    fitted = lightgbm.train(
        QUIET | {"objective": "regression", "min_data_per_group": 5}, lightgbm.Dataset(frame, y), 10
    )
    parsed = parse(fitted.model_to_string(), where="m")
    assert parsed.categories == {2: ("Oslo", "São Paulo", "Łódź"), 3: (3, 5, 8)}
    np.testing.assert_array_equal(parsed.predict(frame), fitted.predict(frame))


def test_given_models() -> None:
    model = import_model(read(shared("lgmulticlass.model")), file="m")
    x = np.loadtxt(shared("multiclass_test.tsv"))[:, 1:]
    want = np.loadtxt(shared("lgmulticlass_true_predictions.txt"))
    np.testing.assert_allclose(output(model, "probability", x)[0], want, rtol=1e-12, atol=1e-12)

    path = shared("lg_breast_cancer.txt")
    x = np.loadtxt(shared("breast_cancer_test.tsv"))
    model = import_model(read(path), file="m")
    fitted = lightgbm.Booster(model_file=path)
    np.testing.assert_allclose(output(model, "probability", x)[0][:, 1], fitted.predict(x), rtol=1e-12)

    path = shared("model_simple.txt")
    model, fitted = import_model(read(path), file="m"), lightgbm.Booster(model_file=path)
    x = np.array(
        [[a, b] for a in (0, 339.9, 340.5, 341, np.nan, 1e9) for b in (-1, 0, 3, 100, 99.9, 128, np.nan, 1e12)]
    )
    frame = {"X1": x[:, 0], "X2": x[:, 1]}
    got, _ = output(model, "probability", frame)
    np.testing.assert_allclose(got[:, 1], fitted.predict(x), rtol=1e-12)


def test_refusals() -> None:
    x = data()
    fitted = lightgbm.train(
        QUIET | {"objective": "regression", "linear_tree": True}, lightgbm.Dataset(x, amounts(x)), 3
    )
    with pytest.raises(Refusal, match=r"m: Tree=\d: has linear models in its leaves; train it with linear_tree=false"):
        parse(fitted.model_to_string(), where="m")
    fitted, _ = fit(x, amounts(x), objective="regression")
    text = fitted.model_to_string()
    for old, new, why in (
        ("objective=regression", "objective=regression sqrt", "has the objective 'regression sqrt'"),
        ("objective=regression", "objective=other", "has the objective 'other'"),
        ("version=v4", "version=v9", "is of version v9"),
    ):
        with pytest.raises(Refusal, match=why):
            parse(text.replace(old, new, 1), where="m")
    for old, new in (
        ("end of trees", ""),
        ("\nleft_child=", "\nleft_child=99 "),
        ("\nsplit_feature=", "\nsplit_feature=77 "),
        ("num_leaves=", "num_leaves=1"),
        ("\nfeature_names=", "\nfeature_names=more "),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=7"),
    ):
        with pytest.raises(InputError, match="is no whole model of LightGBM"):
            parse(text.replace(old, new, 1), where="m")
