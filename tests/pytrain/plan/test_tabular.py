"""Real tables: adult and abalone. They are read where they are, never copied; GAVEL_TEST_DATA names the directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)

from tests.pytrain.plan import engine
from tests.pytrain.plan.helper import compare

DATA = Path(os.environ.get("GAVEL_TEST_DATA", Path(__file__).parents[4] / "shared/data"))

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")


def read(name: str) -> pd.DataFrame:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there; GAVEL_TEST_DATA names the directory that has it")
    return pd.read_csv(path)


def check(estimator: Any, data: Any, tolerance: float = 1e-6) -> None:
    """Compare whole tables by the reference, and by the engine if it is built."""
    found = compare(estimator, data, most=400, data_rows=len(data))
    assert found.worst <= tolerance
    assert found.answered >= 0.9 * len(data)
    if not engine.BIDDER.exists():
        pytest.skip("bin/bidder is not built: make build; compared by the reference only")
    good = int(np.flatnonzero(found.steady & ~found.refused)[0])
    outputs = {name: output[good : good + 1] for name, output in found.want.items()}
    ((outputs, refused),) = engine.score([engine.Job(found.model.plan, found.rows, good, outputs)])
    assert found.by_engine(outputs, refused) <= tolerance


def adult() -> tuple[pd.DataFrame, Any, list[str], list[str]]:
    frame = read("adult/adult_train.csv").head(8000)
    target = frame.pop(frame.columns[-1])
    return frame, target, *kinds(frame)


def kinds(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the columns of text, and those of numbers."""
    text = [str(c) for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    return text, [str(c) for c in frame if c not in text]


def prepared(text: list[str], numbers: list[str], encoder: Any) -> ColumnTransformer:
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer([("numbers", scaled, numbers), ("texts", encoder, text)])


def test_adult_by_one_hot() -> None:
    frame, target, text, numbers = adult()
    encoder = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20)
    )
    check(make_pipeline(prepared(text, numbers, encoder), LogisticRegression(max_iter=50)).fit(frame, target), frame)


def test_adult_by_bins_targets_and_components() -> None:
    frame, target, text, numbers = adult()
    union = FeatureUnion([("pca", PCA(5)), ("near", KMeans(8, n_init=1, random_state=0))])
    prepare = prepared(text, numbers, TargetEncoder())
    check(make_pipeline(prepare, union, LogisticRegression(max_iter=50)).fit(frame, target), frame)
    bins = ColumnTransformer([("b", KBinsDiscretizer(8, quantile_method="averaged_inverted_cdf"), numbers)])
    check(make_pipeline(bins, LogisticRegression(max_iter=50)).fit(frame, target), frame)


def test_adult_by_boosting() -> None:
    frame, target, text, numbers = adult()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    split = ColumnTransformer([("t", encoder, text), ("n", "passthrough", numbers)])
    check(make_pipeline(split, HistGradientBoostingClassifier(max_iter=20)).fit(frame, target), frame, 1e-12)


def test_abalone() -> None:
    frame = read("abalone/abalone.csv")
    target = frame.pop(frame.columns[-1])
    text, numbers = kinds(frame)
    encoder = OneHotEncoder(drop="first", handle_unknown="ignore")
    polynomial = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False))
    split = ColumnTransformer([("n", polynomial, numbers), ("t", encoder, text)])
    check(make_pipeline(split, Ridge()).fit(frame, target), frame)
    split = ColumnTransformer([("n", "passthrough", numbers), ("t", encoder, text)], sparse_threshold=0)
    check(make_pipeline(split, RandomForestRegressor(20, max_depth=8, random_state=0)).fit(frame, target), frame, 1e-12)
