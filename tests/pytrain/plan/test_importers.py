"""Each importer by itself, at the edges of its settings. test_random.py has them in random company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    PassiveAggressiveClassifier,
    PassiveAggressiveRegressor,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeRegressor

from pytrain.errors import Refusal
from pytrain.plan.importing import import_model
from pytrain.plan.operators import FUNCTIONS
from tests.pytrain.plan.helper import amounts, assert_equal, numbers, table, targets
from tests.pytrain.plan.random_pipelines import deprecated

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning", "ignore::FutureWarning"
)

BINS = {"quantile_method": "averaged_inverted_cdf"}
NUMBERS = {
    "StandardScaler": StandardScaler(),
    "StandardScaler without mean": StandardScaler(with_mean=False),
    "StandardScaler without deviation": StandardScaler(with_std=False),
    "MinMaxScaler": MinMaxScaler((-2, 3)),
    "MinMaxScaler, clipped": MinMaxScaler(clip=True),
    "MaxAbsScaler": MaxAbsScaler(),
    "RobustScaler": RobustScaler(),
    "RobustScaler, plain": RobustScaler(with_centering=False, with_scaling=False),
    "RobustScaler, unit variance": RobustScaler(unit_variance=True),
    "l1": Normalizer("l1"),
    "l2": Normalizer("l2"),
    "max": Normalizer("max"),
    "Binarizer": Binarizer(threshold=0.3),
    "Binarizer, negative": Binarizer(threshold=-1),
    "polynomials": PolynomialFeatures(3),
    "interactions": PolynomialFeatures((2, 3), interaction_only=True, include_bias=False),
    "VarianceThreshold": VarianceThreshold(1.0),
    "PCA": PCA(3),
    "PCA, whitened": PCA(whiten=True),
    "TruncatedSVD": TruncatedSVD(2, random_state=0),
    "IncrementalPCA": IncrementalPCA(2, whiten=True),
    "KMeans": KMeans(4, n_init=1, random_state=0),
    "MiniBatchKMeans": MiniBatchKMeans(4, n_init=1, random_state=0),
    "identity": FunctionTransformer(),
    "identity, checked": FunctionTransformer(validate=True),
    "chain": make_pipeline(StandardScaler(), PCA(3), KBinsDiscretizer(3, encode="ordinal", **BINS)),
    "passthrough": Pipeline([("a", "passthrough"), ("b", MinMaxScaler()), ("c", None)]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    x = numbers()
    assert_equal(NUMBERS[name].fit(x), x)
    wide = pd.DataFrame(x, columns=list("dbca"))
    model = assert_equal(NUMBERS[name].fit(wide), wide)
    assert [v.name for v in model.plan.inputs] == list("dbca")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    x = np.abs(numbers(width=2)) + 0.5
    assert_equal(FunctionTransformer(getattr(np, name)).fit(x), x)


@pytest.mark.parametrize("strategy", ["uniform", "quantile", "kmeans"])
@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
def test_bins(strategy: str, encode: str) -> None:
    x = numbers()
    x[:, 1] = 7  # a column of one bin
    bins = KBinsDiscretizer([2, 3, 5, 4], strategy=strategy, encode=encode, random_state=0, **BINS)
    assert_equal(make_pipeline(bins, LinearRegression()).fit(x, amounts()), x)
    assert_equal(make_pipeline(StandardScaler(), bins).fit(x), x)


IMPUTERS = {
    "mean": SimpleImputer(),
    "median": SimpleImputer(strategy="median"),
    "most frequent": SimpleImputer(strategy="most_frequent"),
    "constant": SimpleImputer(strategy="constant", fill_value=-7),
    "indicator": SimpleImputer(add_indicator=True),
    "indicator, empty column kept": SimpleImputer(add_indicator=True, keep_empty_features=True),
}


@pytest.mark.parametrize("name", IMPUTERS)
def test_imputed_numbers(name: str) -> None:
    x = numbers(missing=True)
    assert_equal(IMPUTERS[name].fit(x), x)
    x[:, 2] = np.nan
    assert_equal(IMPUTERS[name].fit(x), x)


def test_another_number_is_missing() -> None:
    x = numbers()
    assert_equal(SimpleImputer(missing_values=0, add_indicator=True).fit(x), x)
    assert_equal(make_pipeline(SimpleImputer(missing_values=-1), Ridge()).fit(x, amounts()), x)


@pytest.mark.parametrize("missing", ["None", "NaN"])
@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_imputed_texts(missing: str, strategy: str) -> None:
    imputer = SimpleImputer(
        strategy=strategy, missing_values=None if missing == "None" else np.nan, add_indicator=True, fill_value="none"
    )
    prepare = ColumnTransformer([("t", imputer, ["city", "kind"])])
    frame = table(missing=missing)
    for encoder in (OneHotEncoder(handle_unknown="ignore"), OneHotEncoder()):
        split = ColumnTransformer([("t", encoder, [0, 1]), ("n", "passthrough", [2])])
        assert_equal(make_pipeline(prepare, split, Ridge()).fit(frame, amounts()), frame, at_least=40)
    filled = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values="b"), OrdinalEncoder(), Ridge())
    assert_equal(filled.fit(frame[["kind"]], amounts()), frame[["kind"]], at_least=40)


ONE_HOT: dict[str, dict[str, Any]] = {
    "error": {},
    "ignore": {"handle_unknown": "ignore"},
    "first dropped": {"drop": "first"},
    "first dropped, ignore": {"drop": "first", "handle_unknown": "ignore"},
    "binary dropped": {"drop": "if_binary"},
    "infrequent": {"min_frequency": 12, "handle_unknown": "infrequent_if_exist"},
    "infrequent, ignore": {"min_frequency": 12, "handle_unknown": "ignore"},
    "infrequent, warn": {"max_categories": 3, "handle_unknown": "warn"},
    "infrequent, first dropped": {"max_categories": 3, "handle_unknown": "infrequent_if_exist", "drop": "first"},
    "all infrequent": {"max_categories": 1, "handle_unknown": "infrequent_if_exist"},
    "infrequent share": {"min_frequency": 0.15, "sparse_output": False},
}


@pytest.mark.parametrize("missing", ["None", "NaN", None])
@pytest.mark.parametrize("name", ONE_HOT)
def test_one_hot(name: str, missing: Any) -> None:
    frame = table(missing=missing)[["city", "kind", "size"]]
    assert_equal(OneHotEncoder(**ONE_HOT[name]).fit(frame), frame, at_least=40)


def test_an_infrequent_category_is_dropped() -> None:
    frame = table()[["city", "kind"]]
    encoder = OneHotEncoder(min_frequency=12, drop=["a much longer name", "a"], handle_unknown="infrequent_if_exist")
    assert_equal(encoder.fit(frame), frame)


def test_one_hot_of_numbers() -> None:
    x = numbers(missing=True).round()
    assert_equal(OneHotEncoder(handle_unknown="ignore").fit(x), x)
    whole = np.nan_to_num(x).astype(int)
    assert_equal(OneHotEncoder(handle_unknown="ignore").fit(whole), whole)
    assert_equal(OneHotEncoder(handle_unknown="ignore").fit(whole > 0), whole > 0)
    assert_equal(OneHotEncoder(categories=[[-1, 0, 1.5]] * 4, handle_unknown="ignore").fit(whole), whole)


def test_an_array_of_texts_has_an_input_a_column() -> None:
    x = table()[["city", "kind"]].to_numpy(object)
    model = assert_equal(make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()).fit(x, amounts()), x)
    assert [(v.name, v.type) for v in model.plan.inputs] == [("x0", "text"), ("x1", "text")]


ORDINAL: dict[str, dict[str, Any]] = {
    "error": {},
    "unknown": {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    "unknown NaN": {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "encoded_missing_value": -5},
    "infrequent": {"handle_unknown": "use_encoded_value", "unknown_value": -2, "max_categories": 3},
    "infrequent, error": {"min_frequency": 12, "encoded_missing_value": 99},
}


@pytest.mark.parametrize("missing", ["None", "NaN", None])
@pytest.mark.parametrize("name", ORDINAL)
def test_ordinal(name: str, missing: Any) -> None:
    frame = table(missing=missing)[["city", "size"]]
    assert_equal(OrdinalEncoder(**ORDINAL[name]).fit(frame), frame, at_least=40)


@pytest.mark.parametrize("missing", ["None", "NaN", None])
@pytest.mark.parametrize("y", [targets(), amounts(), targets(classes=3)], ids=["binary", "continuous", "classes"])
def test_targets(y: Any, missing: Any) -> None:
    frame = table(missing=missing)[["city", "kind", "size"]]
    assert_equal(TargetEncoder(random_state=0).fit(frame, y), frame)


SELECTORS = {
    "SelectKBest": SelectKBest(k=2),
    "SelectPercentile": SelectPercentile(percentile=50),
    "SelectFpr": SelectFpr(alpha=0.9),
    "SelectFdr": SelectFdr(alpha=0.98),
    "SelectFwe": SelectFwe(alpha=0.98),
    "GenericUnivariateSelect": GenericUnivariateSelect(mode="percentile", param=50),
    "SelectFromModel": SelectFromModel(LogisticRegression(), max_features=2),
    "SequentialFeatureSelector": SequentialFeatureSelector(Ridge(), n_features_to_select=2, cv=2),
    "RFE": RFE(LogisticRegression(), n_features_to_select=2),
    "RFE by what is not supported": RFE(SVR(kernel="linear"), n_features_to_select=2),
    "RFECV": RFECV(LogisticRegression(), cv=2),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_selected(name: str) -> None:
    x, y = numbers(), targets()
    x[:, 1] += 3 * y
    assert_equal(make_pipeline(SELECTORS[name], StandardScaler()).fit(x, y), x)


def test_missing_values_may_be_selected_by_what_takes_them() -> None:
    x, y = numbers(missing=True), amounts()
    chosen = SelectFromModel(DecisionTreeRegressor(max_depth=3, random_state=0), max_features=2)
    assert_equal(make_pipeline(chosen, SimpleImputer(), Ridge()).fit(x, y), x)


def test_an_elimination_may_be_the_last_step() -> None:
    x = numbers()
    model = assert_equal(make_pipeline(StandardScaler(), RFE(LogisticRegression())).fit(x, targets()), x)
    assert list(model.plan.outputs) == ["probability"]
    with pytest.raises(Refusal, match=r"estimator_: SVR: no plan can express .*; use LinearSVR"):
        import_model(RFE(SVR(kernel="linear")).fit(x, amounts()), file="m")


COLUMNS: dict[str, Any] = {
    "names": ["price", "size"],
    "one place": [3],
    "places": [3, 2],
    "negative places": [-1, -2],
    "slice": slice(2, None),
    "slice of names": slice("size", "price"),
    "mask": [False, False, True, True],
    "array mask": np.array([False, False, True, False]),
    "by type": make_column_selector(dtype_include=np.number),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name: str) -> None:
    frame = table()
    split = ColumnTransformer(
        [
            ("scaled", StandardScaler(), COLUMNS[name]),
            ("again", MinMaxScaler(), COLUMNS[name]),
            ("none", OneHotEncoder(), []),
            ("coded", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("gone", "drop", ["kind"]),
        ],
        transformer_weights={"again": 2.5},
        remainder="passthrough",
    )
    assert_equal(make_pipeline(split, Ridge()).fit(frame, amounts()), frame)


def test_columns_of_an_array_and_of_steps() -> None:
    x = numbers(missing=True)
    split = ColumnTransformer([("a", SimpleImputer(), [0, 1]), ("b", SimpleImputer(strategy="median"), slice(2, 4))])
    model = assert_equal(make_pipeline(split, StandardScaler(), Ridge()).fit(x, amounts()), x)
    assert [(v.name, v.type, v.width) for v in model.plan.inputs] == [("x", "float64", 4)]
    inner = ColumnTransformer([("b", "drop", [1])], remainder=RobustScaler())
    assert_equal(make_pipeline(split, inner, Ridge()).fit(x, amounts()), x)


def test_union() -> None:
    x = numbers()
    union = FeatureUnion(
        [("a", PCA(2)), ("b", StandardScaler()), ("c", "passthrough"), ("d", "drop")], transformer_weights={"a": 3}
    )
    assert_equal(make_pipeline(union, Ridge()).fit(x, amounts()), x)


def test_sparse_columns_are_scaled_and_chosen() -> None:
    frame = table()[["city", "kind", "size"]]
    for step in (
        StandardScaler(with_mean=False),
        MaxAbsScaler(),
        Normalizer("l2"),
        TruncatedSVD(3, random_state=0),
        SelectKBest(k=5),
        Binarizer(),
        KMeans(3, n_init=1, random_state=0),
    ):
        pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), step, LogisticRegression())
        assert_equal(pipeline.fit(frame, targets(classes=3)), frame)


REGRESSIONS = {
    "LinearRegression": LinearRegression(),
    "without intercept": LinearRegression(fit_intercept=False),
    "Ridge": Ridge(),
    "Lasso": Lasso(0.1),
    "ElasticNet": ElasticNet(0.1),
    "SGDRegressor": SGDRegressor(random_state=0),
    "SGDRegressor, huber": SGDRegressor(loss="huber", average=True, random_state=0),
    "LinearSVR": LinearSVR(random_state=0),
    "Poisson": PoissonRegressor(),
    "Gamma": GammaRegressor(),
    "Tweedie, identity": TweedieRegressor(power=0),
    "Tweedie, log": TweedieRegressor(power=1.5),
    "Tweedie, told": TweedieRegressor(power=0, link="log"),
    "RidgeCV": RidgeCV(),
    "LassoCV": LassoCV(alphas=5, cv=2),
    "ElasticNetCV": ElasticNetCV(alphas=5, cv=2),
    "Lars": Lars(),
    "LarsCV": LarsCV(cv=2),
    "LassoLars": LassoLars(0.01),
    "LassoLarsCV": LassoLarsCV(cv=2),
    "LassoLarsIC": LassoLarsIC(),
    "OrthogonalMatchingPursuit": OrthogonalMatchingPursuit(),
    "OrthogonalMatchingPursuitCV": OrthogonalMatchingPursuitCV(cv=2),
    "BayesianRidge": BayesianRidge(),
    "ARDRegression": ARDRegression(),
    "HuberRegressor": HuberRegressor(),
    "QuantileRegressor": QuantileRegressor(alpha=0.01),
    "TheilSenRegressor": TheilSenRegressor(max_subpopulation=100, random_state=0),
    "RANSACRegressor": RANSACRegressor(random_state=0),
    "PassiveAggressiveRegressor": deprecated(PassiveAggressiveRegressor),
    "logarithm": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "targets as they are": TransformedTargetRegressor(Ridge()),
    "standardized": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "scaled": TransformedTargetRegressor(Ridge(), transformer=MinMaxScaler()),
    "GridSearchCV": GridSearchCV(Ridge(), {"alpha": [0.1, 10]}, cv=2),
    "RandomizedSearchCV": RandomizedSearchCV(Ridge(), {"alpha": [0.1, 10]}, n_iter=2, cv=2),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions(name: str) -> None:
    x = numbers()
    model = assert_equal(make_pipeline(StandardScaler(), REGRESSIONS[name]).fit(x, amounts()), x)
    assert list(model.plan.outputs) == ["value"]
    assert model.plan.labels == ()


@pytest.mark.parametrize(
    "estimator", [Ridge(), MultiTaskLasso(0.1), MultiTaskElasticNetCV(alphas=5, cv=2)], ids=lambda e: type(e).__name__
)
def test_several_outputs(estimator: Any) -> None:
    x = numbers()
    model = assert_equal(estimator.fit(x, np.stack([amounts(), amounts(seed=2)], axis=1)), x)
    assert model.plan.outputs["value"].width == 2


def calibrated(method: Any, **options: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(LogisticRegression(), method=method, cv=3, **options)


CLASSIFIERS = {
    "LogisticRegression": LogisticRegression(),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
    "one against the rest, margins": OneVsRestClassifier(LinearSVC(random_state=0)),
    "LogisticRegressionCV": LogisticRegressionCV(Cs=2, cv=2),
    "RidgeClassifier": RidgeClassifier(),
    "RidgeClassifierCV": RidgeClassifierCV(),
    "Perceptron": Perceptron(random_state=0),
    "PassiveAggressiveClassifier": deprecated(PassiveAggressiveClassifier),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "LinearDiscriminantAnalysis, lsqr": LinearDiscriminantAnalysis(solver="lsqr"),
    "MultinomialNB": make_pipeline(MinMaxScaler(), MultinomialNB()),
    "ComplementNB": make_pipeline(MinMaxScaler(), ComplementNB()),
    "BernoulliNB": BernoulliNB(),
    "BernoulliNB of 0 and 1": make_pipeline(Binarizer(), BernoulliNB(binarize=None)),
    "GridSearchCV": GridSearchCV(LogisticRegression(), {"C": [0.1, 10]}, cv=2),
    "LinearSVC": LinearSVC(random_state=0),
    "SGD, hinge": SGDClassifier(random_state=0),
    "SGD, perceptron": SGDClassifier(loss="perceptron", random_state=0),
    "SGD, log loss": SGDClassifier(loss="log_loss", random_state=0),
    "SGD, modified huber": SGDClassifier(loss="modified_huber", random_state=0),
    "SGD, squared": SGDClassifier(loss="squared_error", alpha=10, random_state=0),
    "calibrated, sigmoid": calibrated("sigmoid"),
    "calibrated, isotonic": calibrated("isotonic"),
    "calibrated, one model": calibrated("isotonic", ensemble=False),
    "calibrated margins": CalibratedClassifierCV(LinearSVC(random_state=0), cv=3),
    "calibrated, one against the rest": CalibratedClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=3),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name: str, classes: int) -> None:
    x, y = numbers(), targets(classes=classes)
    x[:, 1] += y
    labels = np.array(["no", "yes", "maybe"])
    model = assert_equal(make_pipeline(StandardScaler(), CLASSIFIERS[name]).fit(x, labels[y]), x)
    assert model.plan.labels == tuple(sorted(labels[:classes]))
    assert set(model.plan.outputs) in ({"probability"}, {"class", "decision"})


@pytest.mark.parametrize("solver", ["svd", "eigen"])
def test_discriminants_may_be_columns(solver: str) -> None:
    x, y = numbers(), targets(classes=3)
    x[:, 1] += y
    assert_equal(make_pipeline(LinearDiscriminantAnalysis(solver=solver), LogisticRegression()).fit(x, y), x)


@pytest.mark.parametrize("labels", [[False, True], [-1, 1], [0.0, 1.0]])
def test_labels(labels: list[Any]) -> None:
    x = numbers()
    model = assert_equal(RidgeClassifier().fit(x, np.array(labels)[targets()]), x)
    assert model.plan.labels == tuple(labels)


def test_a_calibrated_model_may_be_fitted_before() -> None:
    x = numbers()
    fitted = FrozenEstimator(LogisticRegression().fit(x, targets()))
    assert_equal(CalibratedClassifierCV(fitted).fit(x, targets()), x)


REFUSED: dict[str, tuple[Any, str]] = {
    "what is unknown": (PowerTransformer(), r"PowerTransformer.*; use FunctionTransformer\(numpy.log1p\)"),
    "what is near": (KNNImputer(), "KNNImputer; use SimpleImputer"),
    "an own function": (FunctionTransformer(lambda x: x), "the function <lambda>; use one of NumPy's log"),
    "another function": (FunctionTransformer(np.arctan), "the function arctan"),
    "bins of another type": (KBinsDiscretizer(3, dtype=np.float32, **BINS), "dtype float32; fit it with dtype=numpy"),
    "a kernel": (make_pipeline(StandardScaler(), SVC()), r"steps\[1\] svc: SVC: .*; use LinearSVC"),
    "a Gaussian": (GaussianNB(), "GaussianNB; use LogisticRegression"),
    "a search that kept nothing": (
        GridSearchCV(LogisticRegression(), {"C": [1]}, refit=False),
        "no best_estimator_, since refit is False; fit it with refit=True",
    ),
    "another inverse": (
        TransformedTargetRegressor(Ridge(), transformer=RobustScaler()),
        "the transformer RobustScaler; use func and inverse_func",
    ),
    "an own inverse": (
        TransformedTargetRegressor(Ridge(), func=np.exp, inverse_func=lambda y: 1 + np.log(y)),
        "the inverse_func <lambda>; use one of NumPy's log",
    ),
    "temperature": (calibrated("temperature"), "method 'temperature'; use 'sigmoid'"),
    "what is inside": (OneVsRestClassifier(SVC()), r"estimators_\[0\]: SVC"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_refused(name: str) -> None:
    estimator, message = REFUSED[name]
    x = numbers()
    with pytest.raises(Refusal, match=message) as refused:
        import_model(estimator.fit(x, targets()), file="m.skops")
    assert str(refused.value).startswith("m.skops: model: ")
    assert refused.value.exit_code == 2


def test_kinds_of_missing_are_not_mixed() -> None:
    frame = pd.DataFrame({"c": pd.Series(["a", None, np.nan] * 10, dtype=object)})
    with pytest.raises(Refusal, match="both None and NaN"):
        import_model(OneHotEncoder().fit(frame), file="m")


def test_encoders_of_other_types_are_refused() -> None:
    frame = table()
    with pytest.raises(Refusal, match="dtype float32"):
        import_model(OneHotEncoder(dtype=np.float32).fit(frame[["kind"]]), file="m")
    with pytest.raises(Refusal, match=r"a Timestamp, among its categories|a datetime|a int"):
        import_model(OneHotEncoder().fit(pd.DataFrame({"d": pd.date_range("2020-01-01", periods=4)})), file="m")


def test_a_column_has_one_type() -> None:
    frame = table()
    frame["kind"] = "1"
    split = ColumnTransformer([("a", OneHotEncoder(), ["kind"]), ("b", StandardScaler(), ["kind"])])
    with pytest.raises(Refusal, match="reads the column 'kind' as numbers, but another step does not"):
        import_model(split.fit(frame), file="m")


def test_filled_text_must_be_encoded() -> None:
    frame = table(missing="NaN")[["city"]]
    with pytest.raises(Refusal, match="text column 'city' as numbers; encode it first"):
        import_model(SimpleImputer(strategy="most_frequent").fit(frame), file="m")


def test_checks_are_made_once() -> None:
    x = numbers(missing=True)
    plan = import_model(make_pipeline(SimpleImputer(), StandardScaler(), Ridge()).fit(x, amounts()), file="m").plan
    assert [v.op for v in plan.nodes] == ["impute", "sub", "div", "linear"]
    assert plan.nodes[-1].settings["finite"] is True
    plan = import_model(make_pipeline(Binarizer(), Ridge()).fit(numbers(), amounts()), file="m").plan
    assert [v.op for v in plan.nodes] == ["finite", "binarize", "linear"]
    assert plan.nodes[-1].settings["finite"] is False
