"""Importers of projections and clusters: PCA, TruncatedSVD, KMeans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD

from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value


@importer(PCA, IncrementalPCA)
def pca(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute C · x − C · mean; whitened: divided by the deviations."""
    matrix = np.asarray(estimator.components_, np.float64)
    value = value.linear(matrix, -(np.reshape(estimator.mean_, (1, -1)) @ matrix.T)[0])
    if not estimator.whiten:
        return value
    scale = np.sqrt(estimator.explained_variance_)
    return value.div(np.maximum(scale, np.finfo(scale.dtype).eps))


@importer(TruncatedSVD)
def truncated_svd(estimator: Any, value: Value, _place: Place) -> Value:
    """Compute C · x."""
    return value.project(estimator.components_)


@importer(KMeans, MiniBatchKMeans)
def k_means(estimator: Any, value: Value, _place: Place) -> Prediction:
    """Distances to the centers, or the nearest."""
    value, centers = value.finite(), estimator.cluster_centers_
    return Prediction(
        labels=tuple(range(len(centers))), index=value.nearest(centers), transform=value.distances(centers)
    )
