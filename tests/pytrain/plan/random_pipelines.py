"""Random pipelines over everything that is supported, fitted on random data.

What is new is added to `TRANSFORMERS`, `CLASSIFIERS`, `REGRESSIONS` or `TEXT`. Transformers are drawn at random; last
steps take turns, so that few pipelines have all of them.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import skops.io
import xgboost
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
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
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
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
from sklearn.impute import SimpleImputer
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
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
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
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
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
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVR, LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from pytrain.skops_file import load_skops

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = np.random.Generator
    Maker = Callable[[Draw], Any]

ANY_NUMBER = "cbrt square abs negative sign sin cos tanh floor ceil rint expm1 exp".split()  # noqa: SIM905
POSITIVE = "log log1p log2 log10 sqrt reciprocal".split()  # noqa: SIM905


@dataclass(frozen=True)
class Case:
    """An estimator that was not fitted yet, its data, and a name for messages."""

    estimator: Any
    data: Any
    target: Any

    def fit(self) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fitted = self.estimator.fit(self.data, self.target)
            boosted = isinstance(fitted, Pipeline) and isinstance(fitted.steps[-1][1], BOOSTED)
            return read_back(fitted, self.data) if boosted else fitted


def read_back(fitted: Any, data: Any) -> Any:
    """Write a model with LightGBM or XGBoost, and read it without them: it must answer the same."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "m.skops"
        skops.io.dump(fitted, path)
        again = load_skops(path, remedy="", boosters=True)
    ask = "predict_proba" if hasattr(fitted, "predict_proba") else "predict"
    np.testing.assert_allclose(getattr(again, ask)(data), getattr(fitted, ask)(data), rtol=2e-6, atol=1e-6)
    return again


def one_of(draw: Draw, *values: Any) -> Any:
    return values[int(draw.integers(len(values)))]


def yes(draw: Draw) -> bool:
    return bool(draw.integers(2))


def _bins(draw: Draw) -> Any:
    return KBinsDiscretizer(
        int(draw.integers(2, 7)),
        encode=one_of(draw, "ordinal", "onehot", "onehot-dense"),
        strategy=one_of(draw, "uniform", "quantile", "kmeans"),
        quantile_method="averaged_inverted_cdf",
        random_state=0,
    )


def _positive(draw: Draw) -> Any:
    return make_pipeline(MinMaxScaler((0.5, 3)), FunctionTransformer(getattr(np, one_of(draw, *POSITIVE))))


def _encoded_numbers(draw: Draw) -> Any:
    encoder = one_of(draw, _one_hot, _ordinal, lambda _d: TargetEncoder(cv=2, random_state=0))(draw)
    rounded = make_pipeline(FunctionTransformer(np.rint), encoder)
    return make_pipeline(rounded, SimpleImputer()) if isinstance(encoder, OrdinalEncoder) else rounded


def _union(draw: Draw) -> Any:
    parts = [("a", transformer(draw)), ("b", one_of(draw, "passthrough", "drop", transformer(draw)))]
    return FeatureUnion(parts, transformer_weights=one_of(draw, None, {"a": 2.0, "b": 0.5}))


def _by_place(draw: Draw) -> Any:
    columns = one_of(draw, [0], [1, 0], slice(0, 2), [True, False], [-1], 1)
    if columns == [True, False]:
        columns = slice(1)
    columns = [columns] if isinstance(columns, int) else columns
    return ColumnTransformer(
        [("a", transformer(draw), columns)], remainder=one_of(draw, "passthrough", StandardScaler())
    )


# Of dense numbers without missing ones, of at least two columns; so is what they return.
TRANSFORMERS: dict[str, Maker] = {
    "StandardScaler": lambda d: StandardScaler(with_mean=yes(d), with_std=yes(d)),
    "MinMaxScaler": lambda d: MinMaxScaler((-1, 2), clip=yes(d)),
    "MaxAbsScaler": lambda _d: MaxAbsScaler(),
    "RobustScaler": lambda d: RobustScaler(with_centering=yes(d), with_scaling=yes(d)),
    "Normalizer": lambda d: Normalizer(one_of(d, "l1", "l2", "max")),
    "Binarizer": lambda d: Binarizer(threshold=one_of(d, 0.0, 0.5, -0.5)),
    "PolynomialFeatures": lambda d: PolynomialFeatures(2, interaction_only=yes(d), include_bias=yes(d)),
    "FunctionTransformer": lambda d: FunctionTransformer(getattr(np, one_of(d, *ANY_NUMBER)), validate=yes(d)),
    "positive": _positive,
    "identity": lambda _d: FunctionTransformer(),
    "KBinsDiscretizer": _bins,
    "encoded": _encoded_numbers,
    "VarianceThreshold": lambda _d: VarianceThreshold(),
    "SelectKBest": lambda _d: SelectKBest(k=2),
    "SelectPercentile": lambda _d: SelectPercentile(percentile=70),
    "SelectFpr": lambda _d: SelectFpr(alpha=0.95),
    "SelectFdr": lambda _d: SelectFdr(alpha=0.98),
    "SelectFwe": lambda _d: SelectFwe(alpha=0.98),
    "GenericUnivariateSelect": lambda _d: GenericUnivariateSelect(mode="k_best", param=2),
    "SelectFromModel": lambda d: SelectFromModel(one_of(d, Ridge(), DecisionTreeRegressor(**TREES)), max_features=2),
    "SequentialFeatureSelector": lambda _d: SequentialFeatureSelector(Ridge(), n_features_to_select=1, cv=2),
    "RFE": lambda d: RFE(one_of(d, Ridge(), SVR(kernel="linear")), n_features_to_select=2),
    "IncrementalPCA": lambda d: IncrementalPCA(2, whiten=yes(d), batch_size=30),
    "MiniBatchKMeans": lambda d: MiniBatchKMeans(draw_small(d), n_init=1, random_state=0),
    "PCA": lambda d: PCA(2, whiten=yes(d), svd_solver="full"),
    "TruncatedSVD": lambda _d: TruncatedSVD(2, random_state=0),
    "KMeans": lambda d: KMeans(draw_small(d), n_init=1, random_state=0),
    "SimpleImputer": lambda d: SimpleImputer(strategy=one_of(d, "mean", "median", "most_frequent", "constant")),
    "RandomTreesEmbedding": lambda d: RandomTreesEmbedding(3, max_depth=2, sparse_output=yes(d), random_state=0),
    "FeatureUnion": _union,
    "ColumnTransformer": _by_place,
}


def deprecated(kind: Any) -> Any:
    """Return an estimator that warns when it is made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return kind(random_state=0)


def draw_small(draw: Draw) -> int:
    return int(draw.integers(2, 5))


def transformer(draw: Draw) -> Any:
    return TRANSFORMERS[one_of(draw, *TRANSFORMERS)](draw)


def _one_hot(draw: Draw, *, text: bool = False) -> Any:
    unknown = one_of(draw, "ignore", "infrequent_if_exist", "warn", *(["error"] if text else []))
    return OneHotEncoder(
        handle_unknown=unknown,
        drop=one_of(draw, None, None, "first", "if_binary"),
        min_frequency=one_of(draw, None, None, 8, 0.2),
        max_categories=one_of(draw, None, None, 3),
        sparse_output=one_of(draw, True, False),
    )


def _ordinal(draw: Draw) -> Any:
    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=one_of(draw, -1, np.nan),
        encoded_missing_value=one_of(draw, np.nan, -2),
        max_categories=one_of(draw, None, None, 3),
    )


TREES: dict[str, Any] = {"max_depth": 4, "random_state": 0}
BOOSTED = (lightgbm.LGBMModel, xgboost.XGBModel)
LIGHT: dict[str, Any] = {"n_estimators": 4, "min_child_samples": 4, "n_jobs": 1, "verbose": -1}
EXTREME: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}
SEARCHED: dict[str, Any] = {"cv": 2, "n_jobs": 1}


def _searched(draw: Draw, estimator: Any, **grid: Any) -> Any:
    if yes(draw):
        return GridSearchCV(estimator, grid, **SEARCHED)
    return RandomizedSearchCV(estimator, grid, n_iter=2, random_state=0, **SEARCHED)


CLASSIFIERS: dict[str, Maker] = {
    "LogisticRegression": lambda d: LogisticRegression(C=one_of(d, 0.1, 1.0, 10.0)),
    "LogisticRegressionCV": lambda _d: LogisticRegressionCV(Cs=[0.1, 1.0], cv=2),
    "RidgeClassifier": lambda _d: RidgeClassifier(),
    "RidgeClassifierCV": lambda _d: RidgeClassifierCV(),
    "Perceptron": lambda _d: Perceptron(random_state=0),
    "PassiveAggressiveClassifier": lambda _d: deprecated(PassiveAggressiveClassifier),
    "LinearDiscriminantAnalysis": lambda d: LinearDiscriminantAnalysis(solver=one_of(d, "svd", "lsqr")),
    "MultinomialNB": lambda d: make_pipeline(one_of(d, Binarizer(), MinMaxScaler()), MultinomialNB()),
    "ComplementNB": lambda d: make_pipeline(one_of(d, Binarizer(), MinMaxScaler()), ComplementNB(norm=yes(d))),
    "BernoulliNB": lambda d: BernoulliNB(binarize=one_of(d, 0.0, 0.5)),
    "search": lambda d: _searched(d, LogisticRegression(), C=[0.1, 10.0]),
    "RFE": lambda d: RFE(one_of(d, LogisticRegression(), DecisionTreeClassifier(**TREES)), n_features_to_select=2),
    "RFECV": lambda _d: RFECV(LogisticRegression(), cv=2),
    "LGBMClassifier": lambda d: lightgbm.LGBMClassifier(**LIGHT, boosting_type=one_of(d, "gbdt", "dart")),
    "XGBClassifier": lambda _d: xgboost.XGBClassifier(**EXTREME),
    "XGBRFClassifier": lambda _d: xgboost.XGBRFClassifier(**EXTREME),
    "SGDClassifier": lambda d: SGDClassifier(
        loss=one_of(d, "log_loss", "modified_huber", "hinge", "perceptron"), random_state=0, max_iter=50
    ),
    "LinearSVC": lambda _d: LinearSVC(random_state=0),
    "OneVsRestClassifier": lambda d: OneVsRestClassifier(one_of(d, LogisticRegression(), RidgeClassifier())),
    "CalibratedClassifierCV": lambda d: CalibratedClassifierCV(
        one_of(d, LogisticRegression(), LinearSVC(random_state=0), RidgeClassifier()),
        method=one_of(d, "sigmoid", "isotonic"),
        cv=2,
        ensemble=yes(d),
    ),
    "FrozenEstimator": lambda _d: _Frozen(),
    "DecisionTreeClassifier": lambda _d: DecisionTreeClassifier(**TREES),
    "ExtraTreeClassifier": lambda _d: ExtraTreeClassifier(**TREES),
    "RandomForestClassifier": lambda _d: RandomForestClassifier(4, **TREES),
    "ExtraTreesClassifier": lambda _d: ExtraTreesClassifier(4, **TREES),
    "GradientBoostingClassifier": lambda _d: GradientBoostingClassifier(n_estimators=4, random_state=0),
    "HistGradientBoostingClassifier": lambda _d: HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=5),
}
REGRESSIONS: dict[str, Maker] = {
    "LinearRegression": lambda d: LinearRegression(fit_intercept=yes(d)),
    "Ridge": lambda _d: Ridge(),
    "RidgeCV": lambda _d: RidgeCV(),
    "Lasso": lambda _d: Lasso(0.1),
    "LassoCV": lambda _d: LassoCV(alphas=4, cv=2),
    "ElasticNet": lambda _d: ElasticNet(0.1),
    "ElasticNetCV": lambda _d: ElasticNetCV(alphas=4, cv=2),
    "MultiTaskLasso": lambda _d: MultiTaskLasso(0.1),
    "MultiTaskLassoCV": lambda _d: MultiTaskLassoCV(alphas=4, cv=2),
    "MultiTaskElasticNet": lambda _d: MultiTaskElasticNet(0.1),
    "MultiTaskElasticNetCV": lambda _d: MultiTaskElasticNetCV(alphas=4, cv=2),
    "Lars": lambda _d: Lars(n_nonzero_coefs=3),
    "LarsCV": lambda _d: LarsCV(cv=2),
    "LassoLars": lambda _d: LassoLars(0.01),
    "LassoLarsCV": lambda _d: LassoLarsCV(cv=2),
    "LassoLarsIC": lambda _d: LassoLarsIC(),
    "OrthogonalMatchingPursuit": lambda _d: OrthogonalMatchingPursuit(n_nonzero_coefs=1),
    "OrthogonalMatchingPursuitCV": lambda _d: OrthogonalMatchingPursuitCV(cv=2),
    "BayesianRidge": lambda _d: BayesianRidge(),
    "ARDRegression": lambda _d: ARDRegression(max_iter=20),
    "HuberRegressor": lambda _d: HuberRegressor(),
    "QuantileRegressor": lambda _d: QuantileRegressor(alpha=0.01),
    "TheilSenRegressor": lambda _d: TheilSenRegressor(max_subpopulation=20, random_state=0),
    "RANSACRegressor": lambda _d: RANSACRegressor(Ridge(), min_samples=0.5, residual_threshold=5.0, random_state=0),
    "PassiveAggressiveRegressor": lambda _d: deprecated(PassiveAggressiveRegressor),
    "TransformedTargetRegressor": lambda d: TransformedTargetRegressor(
        Ridge(), **one_of(d, {"func": np.log1p, "inverse_func": np.expm1}, {"transformer": StandardScaler()})
    ),
    "search": lambda d: _searched(d, Ridge(), alpha=[0.1, 10.0]),
    "LGBMRegressor": lambda _d: lightgbm.LGBMRegressor(**LIGHT),
    "XGBRegressor": lambda d: xgboost.XGBRegressor(**EXTREME, objective=one_of(d, "reg:squarederror", "count:poisson")),
    "XGBRFRegressor": lambda _d: xgboost.XGBRFRegressor(**EXTREME),
    "SGDRegressor": lambda _d: SGDRegressor(random_state=0),
    "LinearSVR": lambda _d: LinearSVR(random_state=0),
    "PoissonRegressor": lambda _d: PoissonRegressor(),
    "GammaRegressor": lambda _d: GammaRegressor(),
    "TweedieRegressor": lambda d: TweedieRegressor(power=one_of(d, 0, 1.5)),
    "DecisionTreeRegressor": lambda _d: DecisionTreeRegressor(**TREES),
    "ExtraTreeRegressor": lambda _d: ExtraTreeRegressor(**TREES),
    "RandomForestRegressor": lambda _d: RandomForestRegressor(4, **TREES),
    "ExtraTreesRegressor": lambda _d: ExtraTreesRegressor(4, **TREES),
    "GradientBoostingRegressor": lambda _d: GradientBoostingRegressor(n_estimators=4, random_state=0),
    "HistGradientBoostingRegressor": lambda _d: HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=5),
}
CLUSTERS: dict[str, Maker] = {name: TRANSFORMERS[name] for name in ("KMeans", "MiniBatchKMeans")}
# A last step, and what it is fitted on; a fifth of the pipelines have none.
FINALS = [
    *(("classes", name) for name in CLASSIFIERS),
    *(("amounts", name) for name in REGRESSIONS),
    *(("clusters", name) for name in CLUSTERS),
]
FINALS = [final for i, final in enumerate(FINALS) for final in [final, *[("none", "")] * (i % 5 == 0)]]
# Texts to numbers, sparse or dense; each is fitted on one column of text.
TEXT: dict[str, Maker] = {
    "CountVectorizer": lambda d: CountVectorizer(**_grams(d), binary=yes(d), lowercase=yes(d)),
    "TfidfVectorizer": lambda d: TfidfVectorizer(**_grams(d), sublinear_tf=yes(d), norm=one_of(d, "l2", "l1", None)),
    "HashingVectorizer": lambda d: HashingVectorizer(n_features=32, **_grams(d), alternate_sign=yes(d)),
    "TfidfTransformer": lambda d: make_pipeline(CountVectorizer(**_grams(d)), TfidfTransformer(use_idf=yes(d))),
}


def _grams(draw: Draw) -> dict[str, Any]:
    analyzer = one_of(draw, "word", "word", "char", "char_wb")
    return {
        "analyzer": analyzer,
        "ngram_range": one_of(draw, (1, 1), (1, 2), (2, 3)),
        "stop_words": one_of(draw, None, ["the", "very"]) if analyzer == "word" else None,
        "token_pattern": one_of(draw, r"(?u)\b\w\w+\b", r"(?u)\b\w+\b"),
        "strip_accents": one_of(draw, None, None, "unicode", "ascii"),
    }


class _Frozen(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """Stands for a frozen estimator until the pipeline is fitted; a pipeline never fits what is frozen."""


def _final(draw: Draw, turn: int, seed: int, n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    kind, name = FINALS[turn % len(FINALS)]
    classes = rng.integers(0, one_of(draw, 2, 2, 3, 4), n)
    if kind == "classes":
        labels = one_of(draw, np.array(list("abcd")), np.arange(4), np.array(["ja", "nein", "doch", "Ω"], object))
        labels = np.arange(4) if name.startswith("XGB") else labels
        return CLASSIFIERS[name](draw), labels[classes]
    if kind == "amounts":
        return REGRESSIONS[name](draw), rng.gamma(2, 2, (n, 2) if name.startswith("MultiTask") else n)
    if kind == "clusters":
        return CLUSTERS[name](draw), classes
    return None, classes


def _numeric_part(draw: Draw, *, missing: bool) -> Any:
    steps = []
    if missing:
        steps.append(
            SimpleImputer(
                strategy=one_of(draw, "mean", "median", "most_frequent"),
                add_indicator=yes(draw),
                keep_empty_features=yes(draw),
            )
        )
    steps += [transformer(draw) for _ in range(int(draw.integers(0, 3)))]
    return make_pipeline(*steps) if steps else "passthrough"


def _text_part(draw: Draw, missing: Any) -> Any:
    steps = []
    if missing is not False and yes(draw):
        steps.append(
            SimpleImputer(
                strategy=one_of(draw, "most_frequent", "constant"),
                missing_values=missing,
                fill_value="none",
                add_indicator=False,
            )
        )
    encoder = one_of(draw, "one hot", "one hot", "ordinal", "target")
    if encoder == "one hot":
        steps.append(_one_hot(draw, text=True))
    elif encoder == "ordinal":
        steps += [_ordinal(draw), SimpleImputer(strategy="constant", fill_value=-9)]
    else:
        steps.append(TargetEncoder(cv=2, random_state=0))
    return make_pipeline(*steps)


AFTER_SPARSE = ("none", "none", "none", "scale", "normalize", "svd", "best", "maxabs", "variance", "binarize")


def _after(draw: Draw) -> list[Any]:
    """A step that takes sparse columns too."""
    return {
        "none": [],
        "scale": [StandardScaler(with_mean=False)],
        "maxabs": [MaxAbsScaler()],
        "normalize": [Normalizer()],
        "svd": [TruncatedSVD(2, random_state=0)],
        "best": [SelectKBest(k=3)],
        "variance": [VarianceThreshold()],
        "binarize": [Binarizer()],
    }[one_of(draw, *AFTER_SPARSE)]


def words(rng: np.random.Generator, n: int) -> list[str]:
    known = "the a bid Win LOSS café Straße ΣΑΣ İ 日本 don't x_1 42 e-mail https naïve good bad very not".split()  # noqa: SIM905
    return [" ".join(rng.choice(known, int(rng.integers(0, 12)))) for _ in range(n)]


turns: dict[int, int] = {}  # of each seed; a pipeline that is made again is the same


@st.composite
def cases(draw: Any) -> Case:
    """Random pipelines. One seed decides all but the last step, so that each choice is as likely as any other."""
    seed = draw(st.integers(0, 2**64 - 1))
    return case(np.random.default_rng(seed), turns.setdefault(seed, len(turns)))


def case(draw: Draw, turn: int) -> Case:
    seed = int(draw.integers(2**16))
    n = one_of(draw, 40, 60, 90)
    rng = np.random.default_rng(seed)
    final, target = _final(draw, turn, seed, n)
    shape = one_of(draw, "array", "array", "table", "table", "table", *(["text"] if TEXT else []))
    if shape == "text":
        steps = [TEXT[one_of(draw, *TEXT)](draw), *_after(draw)]
        return Case(_joined(steps, final), words(rng, n), target)
    missing = yes(draw)
    if shape == "array":
        x = rng.normal(size=(n, int(draw.integers(2, 6)))).round(int(draw.integers(0, 4)))
        x *= one_of(draw, 1.0, 1.0, 30.0)
        if missing:
            x[rng.random(x.shape) < 0.1] = np.nan
        part = _numeric_part(draw, missing=missing)
        return Case(_joined([] if part == "passthrough" else [part], final), x, target)
    kind = one_of(draw, None, np.nan)
    text = np.array(["red", "green", "blue", "Überlang und mit Leerzeichen", ""], object)
    frame = pd.DataFrame(
        {
            "colour": pd.Series(rng.choice(text, n, p=[0.4, 0.3, 0.2, 0.05, 0.05]), dtype=object),
            "shop": pd.Series(rng.choice(np.array(["a", "b"], object), n), dtype=object),
            "price": rng.gamma(2, 2, n),
            "weight": rng.normal(10, 3, n),
            "count": rng.integers(0, 9, n),
            "words": words(rng, n),
        }
    )
    if missing:
        frame.loc[rng.random(n) < 0.1, ["price", "weight"]] = np.nan
        gone = [bool(rng.random() < 0.1) for _ in range(n)]
        colours = [kind if g else c for c, g in zip(frame["colour"], gone, strict=True)]
        frame["colour"] = pd.Series(colours, dtype=object)
    numeric = ["price", "weight", "count"]
    parts = [
        ("numbers", _numeric_part(draw, missing=missing), one_of(draw, numeric, numeric[:2], slice("price", "count"))),
        ("texts", _text_part(draw, kind if missing else False), one_of(draw, ["colour"], ["colour", "shop"])),
    ]
    if TEXT and yes(draw):
        parts.append(("words", TEXT[one_of(draw, *TEXT)](draw), "words"))
    if yes(draw):
        parts.append(("bins", _bins(draw), ["count"]))
    parts = [parts[int(i)] for i in draw.permutation(len(parts))]
    split = ColumnTransformer(
        parts,
        transformer_weights=one_of(draw, None, {"numbers": 0.5}),
        remainder=one_of(draw, "drop", "drop", "drop"),
        sparse_threshold=one_of(draw, 0.0, 0.3, 1.0),
    )
    return Case(_joined([split, *_after(draw)], final), frame, target)


def _joined(steps: list[Any], final: Any) -> Any:
    if isinstance(final, _Frozen):
        return _FrozenPipeline(make_pipeline(*steps, LogisticRegression()))
    chain = [*steps, *([] if final is None else [final])]
    return make_pipeline(*(chain or [FunctionTransformer()]))


class _FrozenPipeline:
    """Fits a pipeline, and calibrates it frozen."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def fit(self, x: Any, y: Any) -> Any:
        frozen = FrozenEstimator(self.pipeline.fit(x, y))
        return CalibratedClassifierCV(frozen, method="isotonic").fit(x, y)
