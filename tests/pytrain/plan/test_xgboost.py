"""XGBoost's files: our parser and the engine's C code, against XGBoost itself."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy import sparse

from pytrain.errors import InputError, Refusal
from pytrain.plan import ubjson
from pytrain.plan.importing import import_model
from pytrain.plan.xgboost import parse
from tests.pytrain.plan.boosted import amounts, data, edges, output, raw, shared

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore::FutureWarning")
CLOSE: Any = {"rtol": 2e-6, "atol": 1e-6}  # of links, which XGBoost computes in float32
# XGBoost refuses infinite numbers, and categories that are negative or not whole are no categories.
SPECIAL = (
    0.0,
    -0.0,
    np.nan,
    5e-324,
    1e-45,
    -1e-45,
    1e-40,
    1e9,
    -1e9,
    16777216.0,
    16777215.0,
    3e38,
    -3e38,
    -1.0,
    -0.5,
    0.5,
)


def fit(x: Any, y: Any, rounds: int = 12, types: Any = None, **parameters: Any) -> Any:
    made = xgboost.DMatrix(x, y, feature_types=types, enable_categorical=types is not None)
    fitted = xgboost.train({"nthread": 1, "seed": 0} | parameters, made, rounds)
    models = [import_model(parse(bytes(fitted.save_raw(kind)), where="m"), file="m") for kind in ("json", "ubj")]
    tensors = [{n: t.sha256 for v in m.plan.nodes for n, t in v.tensors.items()} for m in models]
    assert tensors[0] == tensors[1]
    return fitted, models[0]


def assert_same(fitted: Any, model: Any, x: Any, name: str, types: Any = None) -> None:
    """Compare margins to the last bit of float32, outputs within 1e-6, at the edges too."""
    rows = edges(model.plan, x, single=True, special=SPECIAL).astype(np.float32)
    made = xgboost.DMatrix(rows, feature_types=types, enable_categorical=types is not None)
    got, refused = raw(model, rows)
    assert not refused.any()
    want = fitted.predict(made, output_margin=True).reshape(got.shape)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(model.estimator.predict_margin(rows), want)
    got, _ = output(model, name, rows)
    want = fitted.predict(made).reshape(len(rows), -1)
    want = np.hstack([1 - want, want]) if got.shape[1] == 2 and want.shape[1] == 1 else want
    np.testing.assert_allclose(got, want, **CLOSE)


OBJECTIVES: dict[str, dict[str, Any]] = {
    "reg:squarederror": {}, "reg:squarederror from 3": {"objective": "reg:squarederror", "base_score": 3.25},
    "reg:absoluteerror": {}, "reg:pseudohubererror": {}, "reg:quantileerror": {"quantile_alpha": 0.3},
    "reg:logistic": {}, "binary:logistic": {},
    "binary:logistic from 0.2": {"objective": "binary:logistic", "base_score": 0.2},
    "count:poisson": {}, "reg:gamma": {}, "reg:tweedie": {}, "reg:squaredlogerror": {},
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name: str) -> None:
    parameters = {"objective": name} | OBJECTIVES[name]
    objective = parameters["objective"]
    x = data(missing=True)
    y = amounts(x)
    if "logistic" in objective:
        y = (y > 0).astype(float)
    elif objective.split(":")[0] == "count" or objective in ("reg:gamma", "reg:tweedie", "reg:squaredlogerror"):
        y = np.abs(y) + 0.1
    fitted, model = fit(x, y, **parameters)
    assert_same(fitted, model, x, "probability" if model.plan.labels else "value")


def test_raw_scores_and_hinges() -> None:
    x = data(missing=True)
    y = (amounts(x) > 0).astype(float)
    fitted, model = fit(x, y, objective="binary:logitraw", base_score=0.3)
    np.testing.assert_array_equal(raw(model, x)[0][:, 0], fitted.predict(xgboost.DMatrix(x)))
    fitted, model = fit(x, y, objective="binary:hinge")
    np.testing.assert_array_equal(output(model, "class", x)[0][:, 0], fitted.predict(xgboost.DMatrix(x)))


@pytest.mark.parametrize("parallel", [1, 3])
def test_classes(parallel: int) -> None:
    x = data(missing=True)
    y = np.digitize(amounts(x), [-1, 1])
    fitted, model = fit(x, y, objective="multi:softprob", num_class=3, num_parallel_tree=parallel, subsample=0.6)
    assert model.plan.labels == (0, 1, 2)
    assert_same(fitted, model, x, "probability")


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("categories", [3, 9, 70])
def test_categories(categories: int, missing: bool) -> None:
    x = data(900, categories=categories, missing=missing)
    types = ["q"] * 4 + ["c"]
    for onehot in (2, 100):
        fitted, model = fit(x, amounts(x), types=types, objective="reg:squarederror", max_cat_to_onehot=onehot)
        assert "bits" in next(node for node in model.plan.nodes if node.op == "trees").tensors
        assert_same(fitted, model, x, "value", types)


def test_random_models() -> None:
    rng = np.random.default_rng(7)
    for seed in range(10):
        x = data(500, missing=seed % 2 == 0, categories=int(rng.integers(2, 40)), seed=seed)
        types = ["q"] * 4 + ["c"]
        fitted, model = fit(
            x, amounts(x), rounds=int(rng.integers(1, 40)), types=types, objective="reg:squarederror",
            max_depth=int(rng.integers(1, 9)), grow_policy=("depthwise", "lossguide")[seed % 2],
            max_leaves=int(rng.integers(0, 60)), gamma=float(seed % 3), max_cat_to_onehot=3,
        )  # fmt: skip
        assert_same(fitted, model, x, "value", types)


def test_infinite_numbers_are_refused() -> None:
    x = data()
    _, model = fit(x, amounts(x), objective="reg:squarederror")
    rows = x[:4].copy()
    rows[1, 0], rows[2, 4], rows[3, 3] = np.inf, 1e39, 3e38
    for row, refused in zip(rows, raw(model, rows)[1], strict=True):
        if refused:
            with pytest.raises(xgboost.core.XGBoostError, match="inf"):
                xgboost.DMatrix(row[None])
        else:
            xgboost.DMatrix(row[None])


def test_columns_of_a_frame() -> None:
    x = data(500)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(x[:, :2], columns=["a", "b"])
    frame["city"] = pd.Categorical(rng.choice(["Oslo", "Lodz", "Porto"], 500))
    frame["size"] = pd.Categorical(rng.choice([3, 5, 8000], 500))
    frame.loc[frame.index[:9], "city"] = None
    y = x[:, 0] + (frame["city"] == "Oslo") * 2 - (frame["size"] == 5)
    made = xgboost.DMatrix(frame, y, enable_categorical=True)
    fitted = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, made, 8)
    for kind in ("json", "ubj"):
        parsed = parse(bytes(fitted.save_raw(kind)), where="m")
        assert parsed.categories == {2: ("Lodz", "Oslo", "Porto"), 3: (3, 5, 8000)}
        np.testing.assert_array_equal(parsed.predict(frame), fitted.predict(made))
    frame["city"] = frame["city"].cat.rename_categories({"Lodz": "Łódź"})
    fitted = xgboost.train({"nthread": 1}, xgboost.DMatrix(frame, y, enable_categorical=True), 2)
    with pytest.raises(Refusal, match="feature 2 that are not ASCII"):
        parse(bytes(fitted.save_raw("json")), where="m")


@pytest.mark.parametrize("version", ["1.6.2", "2.1.4", "3.0.5"])
def test_files_of_older_versions(version: str) -> None:
    """Models and predictions that those versions wrote: base_score is one number in them."""
    found = json.loads((Path(__file__).parent / f"data/xgboost-{version}.json").read_text())
    x = np.array([[np.nan if v is None else v for v in row] for row in found["rows"]])
    for made, links in zip(found["models"], ("probability", "probability", "value"), strict=True):
        model = import_model(parse(json.dumps(made["model"]).encode(), where="m"), file="m")
        np.testing.assert_array_equal(raw(model, x)[0], made["margin"])
        got, want = output(model, links, x)[0], np.array(made["prediction"])
        np.testing.assert_allclose(got[:, -want.shape[1] :], want, **CLOSE)


def test_given_model() -> None:
    path = shared("xgagaricus.model")
    fitted = xgboost.Booster()
    try:
        fitted.load_model(path)
    except xgboost.core.XGBoostError as e:
        pytest.skip(f"XGBoost {xgboost.__version__} does not read {path.name}, of its old binary format: {str(e)[:60]}")
    model = import_model(parse(bytes(fitted.save_raw("json")), where="m"), file="m")
    rows = [line.split()[1:] for line in shared("agaricus_test.libsvm").read_text().splitlines()]
    x = np.full((len(rows), model.estimator.width), np.nan)
    for i, row in enumerate(rows):
        for entry in row:
            column, _, value = entry.partition(":")
            x[i, int(column)] = float(value)
    want = np.loadtxt(shared("xgagaricus_true_predictions.txt"))
    np.testing.assert_allclose(output(model, "probability", x)[0][:, 1], want, **CLOSE)


def test_sparse_rows_are_missing_values() -> None:
    """What XGBoost's sparse matrices leave out is missing, not 0."""
    x = data(zeros=True)
    fitted, model = fit(sparse.csr_array(x), amounts(x), objective="reg:squarederror")
    rows = np.where(x == 0, np.nan, x)
    np.testing.assert_array_equal(raw(model, rows)[0][:, 0], fitted.predict(xgboost.DMatrix(sparse.csr_array(x))))


def test_refusals() -> None:
    x, y = data(), amounts(data())
    for parameters, why in (
        ({"booster": "dart"}, "is a booster dart; train it with booster='gbtree'"),
        ({"booster": "gblinear"}, "is a booster gblinear"),
        ({"objective": "survival:aft"}, "has the objective 'survival:aft'"),
    ):
        made = xgboost.DMatrix(x, np.abs(y), label_lower_bound=np.abs(y), label_upper_bound=np.abs(y))
        fitted = xgboost.train({"nthread": 1} | parameters, made, 2)
        with pytest.raises(Refusal, match=why):
            parse(bytes(fitted.save_raw("json")), where="m")
    made = xgboost.DMatrix(x, np.column_stack([y, y]))
    fitted = xgboost.train({"nthread": 1, "multi_strategy": "multi_output_tree", "tree_method": "hist"}, made, 2)
    with pytest.raises(Refusal, match="has trees with several outputs"):
        parse(bytes(fitted.save_raw("json")), where="m")


def test_damaged_files() -> None:
    x = data()
    fitted, _ = fit(x, amounts(x), objective="reg:squarederror")
    good = json.loads(bytes(fitted.save_raw("json")))
    tree = good["learner"]["gradient_booster"]["model"]["trees"][0]
    for name, value in (
        ("left_children", 10**6), ("left_children", 0), ("split_indices", 99), ("split_indices", -2),
        ("right_children", 1),
    ):  # fmt: skip
        kept, tree[name][0] = tree[name][0], value
        with pytest.raises(InputError, match="is no whole model of XGBoost"):
            parse(json.dumps(good).encode(), where="m")
        tree[name][0] = kept
    data_of = bytes(fitted.save_raw("ubj"))
    assert ubjson.loads(data_of)["version"] == good["version"]
    for cut in (1, 7, len(data_of) // 2, len(data_of) - 1):
        with pytest.raises(InputError, match="is no whole model of XGBoost"):
            parse(data_of[:cut], where="m")
    rng = np.random.default_rng(0)
    for _ in range(300):  # whatever the bytes, the answer is a model or one of our errors
        broken = bytearray(data_of)
        for at in rng.integers(0, min(len(broken), 4000), 3):
            broken[at] = rng.integers(0, 256)
        with contextlib.suppress(InputError):
            parse(bytes(broken), where="m")


def test_ubjson() -> None:
    value = b"{U\x01a[$U#U\x03\x01\x02\x03U\x01b[#U\x02TZU\x01cSU\x02hiU\x01d[i\xffI\x01\x00d\x3f\x80\x00\x00]U\x01e{}}"
    assert ubjson.loads(value) == {"a": [1, 2, 3], "b": [True, None], "c": "hi", "d": [-1, 256, 1.0], "e": {}}
    for bad in (
        b"",
        b"[",
        b"[$U",
        b"[$U\x01",
        b"SU\x05hi",
        b"{U\x01a",
        b"[" * 100,
        b"TT",
        b"SD" + b"\0" * 8,
        b"[$Z#l\x7f\0\0\0",
    ):
        with pytest.raises(ValueError, match=r"."):
            ubjson.loads(bad)
