"""Pipelines that end with LightGBM or XGBoost, in .skops files: read without them, and compared with them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

from pytrain.errors import InputError, Refusal
from pytrain.plan.importing import Model, import_model
from pytrain.plan.reading import read_model
from tests.pytrain.plan.helper import amounts, assert_equal, inputs_of, numbers, table, targets
from tests.pytrain.plan.reference import run

LIGHT: dict[str, Any] = {"n_estimators": 6, "min_child_samples": 5, "n_jobs": 1, "verbose": -1}
EXTREME: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}


def written(fitted: Any, directory: Path) -> Any:
    skops.io.dump(fitted, directory / "m.skops")
    return read_model(directory / "m.skops")


def assert_same(fitted: Any, data: Any, directory: Path) -> Model:
    """Compare the plan with what its file says, at its edges too, and with LightGBM or XGBoost itself on the data."""
    model = assert_equal(written(fitted, directory), data, at_least=40)
    got, refused = run(model.plan, inputs_of(model, data))
    assert not refused.any()
    if "probability" in got:
        np.testing.assert_allclose(got["probability"], fitted.predict_proba(data), rtol=2e-6, atol=1e-6)
        assert [model.plan.labels[i] for i in got["probability"].argmax(axis=1)] == list(fitted.predict(data))
    else:
        np.testing.assert_allclose(got["value"][:, 0], fitted.predict(data), rtol=2e-6, atol=1e-6)
    return model


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "kind", [lightgbm.LGBMClassifier, xgboost.XGBClassifier, xgboost.XGBRFClassifier], ids=lambda k: k.__name__
)
def test_classifiers(kind: Any, classes: int, tmp_path: Path) -> None:
    x, y = numbers(missing=True), targets(classes=classes)
    light = kind is lightgbm.LGBMClassifier
    y = np.array(["no", "yes", "maybe"])[y] if light else y  # XGBoost takes 0, 1, … alone
    model = assert_same(make_pipeline(StandardScaler(), kind(**(LIGHT if light else EXTREME))).fit(x, y), x, tmp_path)
    assert model.plan.labels == (tuple(sorted(set(y))) if light else tuple(range(classes)))
    assert type(model.estimator.steps[1][1]).__module__ == "pytrain.plan.boosted"


REGRESSORS: dict[str, Any] = {
    "LightGBM": lightgbm.LGBMRegressor(**LIGHT),
    "LightGBM, forest": lightgbm.LGBMRegressor(
        **LIGHT, boosting_type="rf", subsample_freq=1, subsample=0.6, colsample_bytree=0.7
    ),
    "LightGBM, counts": lightgbm.LGBMRegressor(**LIGHT, objective="poisson"),
    "XGBoost": xgboost.XGBRegressor(**EXTREME),
    "XGBoost, forest": xgboost.XGBRFRegressor(**EXTREME),
    "XGBoost, counts": xgboost.XGBRegressor(**EXTREME, objective="count:poisson"),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name: str, tmp_path: Path) -> None:
    x = numbers(missing=True)
    assert_same(REGRESSORS[name].fit(x, amounts()), x, tmp_path)


@pytest.mark.parametrize("sparse", [0.0, 1.0])
@pytest.mark.parametrize(
    "last", [lightgbm.LGBMClassifier(**LIGHT), xgboost.XGBClassifier(**EXTREME)], ids=["lgb", "xgb"]
)
def test_encoded_columns(last: Any, sparse: float, tmp_path: Path) -> None:
    """XGBoost takes the zeros of sparse columns for missing values, those of dense columns for zeros."""
    frame = table()
    split = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["city", "kind"]), ("n", "passthrough", ["size", "price"])],
        sparse_threshold=sparse,
    )
    assert_same(make_pipeline(split, last).fit(frame, targets()), frame, tmp_path)


@pytest.mark.parametrize("light", [True, False], ids=["lgb", "xgb"])
def test_early_stopping(light: bool, tmp_path: Path) -> None:
    """Trees after the best iteration give nothing. XGBoost keeps them in the file, LightGBM drops them."""
    x, y = numbers(400), targets(400)
    if light:
        last = lightgbm.LGBMClassifier(**LIGHT | {"n_estimators": 40})
        last.fit(
            x[:200], y[:200], eval_X=x[200:], eval_y=y[200:], callbacks=[lightgbm.early_stopping(5, verbose=False)]
        )
        best, trees = last.best_iteration_, last.booster_.num_trees()
    else:
        last = xgboost.XGBClassifier(**EXTREME | {"n_estimators": 40}, early_stopping_rounds=5)
        last.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)
        best, trees = last.best_iteration + 1, last.get_booster().num_boosted_rounds()
    assert best < trees or light
    model = assert_same(last, x, tmp_path)
    assert len(model.estimator.booster.trees) == best


def test_a_search_over_a_booster(tmp_path: Path) -> None:
    """Of a search only the best estimator is read, whatever else it holds."""
    x, y = numbers(), targets()
    grid = {"lgbmclassifier__num_leaves": [4, 9]}
    found = GridSearchCV(
        make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**LIGHT)), grid, cv=2, scoring="roc_auc"
    )
    assert_same(found.fit(x, y), x, tmp_path)
    found = GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2, scoring="f1", refit=lambda _results: 1)
    assert_same(found.fit(x, y), x, tmp_path)


def test_calibrated(tmp_path: Path) -> None:
    x, y = numbers(), targets()
    assert_same(CalibratedClassifierCV(xgboost.XGBClassifier(**EXTREME), cv=2).fit(x, y), x, tmp_path)
    fitted = CalibratedClassifierCV(lightgbm.LGBMClassifier(**LIGHT), cv=2).fit(x, y)
    with pytest.raises(Refusal, match="depending on LightGBM's version"):
        import_model(written(fitted, tmp_path), file="m")


def test_refusals(tmp_path: Path) -> None:
    x, y = numbers(), targets()

    def f(estimator: Any, message: str, target: Any = y) -> None:
        with pytest.raises(Refusal, match=message):
            import_model(written(estimator.fit(x, target), tmp_path), file="m")

    f(xgboost.XGBClassifier(**EXTREME, missing=-1.0), r"XGBClassifier: has missing=-1.0; fit it with missing=numpy.nan")
    f(xgboost.XGBClassifier(**EXTREME, objective="binary:hinge"), "objective 'binary:hinge' for 2 classes; fit it")
    f(xgboost.XGBClassifier(**EXTREME, objective="binary:logitraw"), "objective 'binary:logitraw'; fit it with")
    f(xgboost.XGBClassifier(**EXTREME, booster="dart"), "is a booster dart; train it with booster='gbtree'")
    f(xgboost.XGBRegressor(**EXTREME, objective="binary:logistic"), "'binary:logistic' of a classifier; fit it as")
    f(xgboost.XGBClassifier(**EXTREME), "has several labels a row", np.column_stack([y, 1 - y]))
    f(lightgbm.LGBMRegressor(**LIGHT, objective="binary"), "the objective 'binary' of a classifier")
    f(lightgbm.LGBMClassifier(**LIGHT, pred_early_stop=True), "has the parameter pred_early_stop; fit it without")
    chosen = SelectFromModel(lightgbm.LGBMClassifier(**LIGHT), max_features=2)
    f(make_pipeline(chosen, LogisticRegression()), "whose importances no plan has; name the columns")
    encoded = make_pipeline(OneHotEncoder(handle_unknown="ignore"), MaxAbsScaler(), xgboost.XGBClassifier(**EXTREME))
    f(encoded, "reads sparse columns of mul, which may list a 0")
    skops.io.dump(make_pipeline(StandardScaler(), lightgbm.LGBMClassifier()), tmp_path / "m.skops")
    with pytest.raises(Refusal, match="was not fitted"):
        import_model(read_model(tmp_path / "m.skops"), file="m")


def loss(_y: Any, p: Any) -> Any:
    return p, np.ones_like(p)


def test_files_are_not_trusted(tmp_path: Path) -> None:
    """What is beside a booster is audited as ever, and a booster's own bytes are only read as data."""
    x, y = numbers(), targets()
    fitted = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(**LIGHT, objective=loss)).fit(x, y)
    skops.io.dump(fitted, tmp_path / "m.skops")
    with pytest.raises(Refusal, match="Pipeline > LGBMClassifier: has an objective of its own"):
        read_model(tmp_path / "m.skops")

    def damaged(last: Any, change: Any) -> None:
        skops.io.dump(make_pipeline(StandardScaler(), last).fit(x, y), tmp_path / "m.skops")
        with zipfile.ZipFile(tmp_path / "m.skops") as file:
            members = {name: file.read(name) for name in file.namelist()}
        change(members)
        with zipfile.ZipFile(tmp_path / "m.skops", "w") as file:
            for name, content in members.items():
                file.writestr(name, content)

    def schema(old: str, new: str) -> Any:
        def change(members: dict[str, bytes]) -> None:
            assert old.encode() in members["schema.json"]
            members["schema.json"] = members["schema.json"].replace(old.encode(), new.encode())

        return change

    def cut(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.endswith(".bin"))
        members[name] = members[name][:-100]

    def unnamed(members: dict[str, bytes]) -> None:
        content = json.loads(members["schema.json"])
        content["content"]["content"]["steps"]["content"][1]["content"][1] = {"__class__": "LGBMClassifier"}
        members["schema.json"] = json.dumps(content).encode()

    for last, change, message in (
        (lightgbm.LGBMClassifier(**LIGHT), schema("StandardScaler", "Unknown"), "not trusted: .*Unknown"),
        (lightgbm.LGBMClassifier(**LIGHT), schema("end of trees", "end"), "is no whole model of LightGBM"),
        (lightgbm.LGBMClassifier(**LIGHT), schema("LGBMClassifier", "LGBMOther"), "not trusted: .*LGBMOther"),
        (lightgbm.LGBMClassifier(**LIGHT), unnamed, "is no whole skops file"),
        (xgboost.XGBClassifier(**EXTREME), cut, "is no whole state of XGBoost"),
    ):
        damaged(last, change)
        with pytest.raises(InputError, match=message):
            read_model(tmp_path / "m.skops")
