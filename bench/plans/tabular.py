"""Tabular pipelines over adult and abalone: imputer, scaler, one-hot, PCA, KMeans, features by trees, ensembles.

Each is drawn at random with a seed. As in the paper, they are much alike in form and share few parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
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
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from bench.plans.data import SEED, Rows

FIT_ROWS = 2_000


def pipelines(sets: dict[str, Rows], *, count: int) -> Iterator[tuple[str, str, Any]]:
    """Yield name, data set and fitted pipeline: count of them, adult and abalone in turns."""
    for i in range(count):
        rows = sets[("adult", "abalone")[i % 2]]
        rng = np.random.default_rng([SEED, i])
        chosen = rng.permutation(len(rows.train))[:FIT_ROWS]
        numeric = [name for name, column in rows.train.items() if pd.api.types.is_numeric_dtype(column)]
        pipeline = _draw(rng, numeric, [name for name in rows.train if name not in numeric], rows.name == "adult")
        yield f"{rows.name}_{i:03}", rows.name, pipeline.fit(rows.train.iloc[chosen], rows.labels[chosen])


def _draw(rng: np.random.Generator, numeric: list[Any], texts: list[Any], classes: bool) -> Pipeline:
    """Draw a pipeline: a ColumnTransformer, maybe a union of features, a last model."""

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    seed = int(rng.integers(1 << 30))
    numbers = make_pipeline(
        SimpleImputer(strategy=one_of("mean", "median"), add_indicator=bool(rng.integers(2))),
        one_of(StandardScaler(), MinMaxScaler(), RobustScaler()),
    )
    categories = make_pipeline(
        SimpleImputer(strategy=one_of("most_frequent", "constant"), fill_value="none"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False, min_frequency=one_of(None, 20)),
    )
    columns = ColumnTransformer([("numbers", numbers, numeric), ("categories", categories, texts)])
    features = {
        "pca": PCA(int(rng.integers(2, 6)), random_state=seed),
        "kmeans": KMeans(int(rng.integers(3, 9)), n_init=1, random_state=seed),
        "trees": RandomTreesEmbedding(int(rng.integers(5, 20)), max_depth=3, random_state=seed, sparse_output=False),
        "all": "passthrough",
    }
    kept = [name for name in features if rng.random() < 0.6] or ["all"]
    union = FeatureUnion([(name, features[name]) for name in kept])
    return Pipeline([("columns", columns), ("features", union), ("model", one_of(*_models(seed, rng, classes)))])


def _models(seed: int, rng: np.random.Generator, classes: bool) -> list[Any]:
    size = {"n_estimators": int(rng.integers(10, 40)), "random_state": seed}
    boosting = {"max_iter": size["n_estimators"], "max_leaf_nodes": 15, "random_state": seed}
    if classes:
        return [
            LogisticRegression(C=float(rng.choice([0.1, 1, 10])), max_iter=300),
            RandomForestClassifier(max_depth=8, **size),
            ExtraTreesClassifier(max_depth=8, **size),
            GradientBoostingClassifier(**size),
            HistGradientBoostingClassifier(**boosting),
        ]
    return [
        Ridge(float(rng.choice([0.1, 1, 10]))),
        RandomForestRegressor(max_depth=8, **size),
        ExtraTreesRegressor(max_depth=8, **size),
        GradientBoostingRegressor(**size),
        HistGradientBoostingRegressor(**boosting),
    ]
