"""Fitted models as files: each supported estimator is read from one; what is refused is named with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytrain.errors import InputError
from pytrain.skops_file import load_skops
from pytrain.skops_schema import place_of
from tests.pytrain.plan.helper import assert_equal, numbers, table, targets
from tests.pytrain.plan.random_pipelines import CLASSIFIERS, CLUSTERS, REGRESSIONS, TEXT, TRANSFORMERS, words

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = {"TRANSFORMERS": TRANSFORMERS, "CLASSIFIERS": CLASSIFIERS, "REGRESSIONS": REGRESSIONS, "CLUSTERS": CLUSTERS}

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning", "ignore::FutureWarning"
)


def written(model: Any, directory: Path) -> Path:
    path = directory / "m.skops"
    skops.io.dump(model, path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_each_estimator_is_read(tmp_path: Path, family: str) -> None:
    rng = np.random.default_rng(5)
    x, y = np.abs(numbers(60)) + 1, targets(60) + 1
    for name, make in FAMILIES[family].items():
        if name != "FrozenEstimator":  # it stands for one, and is none
            several = np.column_stack([y, y]) if name.startswith("MultiTask") else y
            estimator = make(rng).fit(x, y - 1 if name.startswith("XGB") else several)
            read = load_skops(written(estimator, tmp_path), remedy="none", boosters=True)
            assert type(read).__name__ == type(estimator).__name__


def test_each_vectorizer_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for make in TEXT.values():
        load_skops(written(make(rng).fit(words(rng, 40)), tmp_path), remedy="none")


def test_histograms_of_categories_are_read(tmp_path: Path) -> None:
    frame = table().astype({"city": pd.CategoricalDtype(), "kind": pd.CategoricalDtype()})
    model = HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=2, random_state=0).fit(frame, targets())
    read = load_skops(written(model, tmp_path), remedy="none")
    assert_equal(read, frame, at_least=40)


def test_what_is_not_trusted_is_named_with_its_place(tmp_path: Path) -> None:
    def f(model: Any, message: str) -> None:
        path = written(model, tmp_path)
        with pytest.raises(InputError, match=message):
            load_skops(path, remedy="none")

    x, y = numbers(60), targets(60)
    f(TunedThresholdClassifierCV(LogisticRegression(), cv=2).fit(x, y), "first in TunedThreshold.*write the estimator_")
    f(
        make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(x, y),
        r"KDTree, the first in Pipeline > steps\[1\] kneighborsclassifier: KNeighborsClassifier > .*; none",
    )
    f(CountVectorizer(tokenizer=str.split), "the first in CountVectorizer > tokenizer: .*do without functions")
    model = make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=2, verbose=-1)).fit(x, y)
    f(model, "lgbmclassifier: LGBMClassifier.*write the estimator, as LGBMClassifier")


def test_places_of_types(tmp_path: Path) -> None:
    path = written(make_pipeline(StandardScaler(), Ridge()).fit(numbers(), targets()), tmp_path)
    assert place_of(path, "sklearn.linear_model._ridge.Ridge") == "Pipeline > steps[1] ridge: Ridge"
    assert place_of(path, "no.such.Type") == ""
