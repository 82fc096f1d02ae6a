"""Importer of KBinsDiscretizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import KBinsDiscretizer

from pytrain.plan.registry import importer

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value


@importer(KBinsDiscretizer)
def k_bins_discretizer(estimator: Any, value: Value, place: Place) -> Value:
    """Count the inner edges that are ≤ x; maybe make each bin a column."""
    if estimator.dtype not in (None, np.float64):
        raise place.refuse(f"has dtype {np.dtype(estimator.dtype)}", "fit it with dtype=numpy.float64")
    value = value.finite().bins([edges[1:-1] for edges in estimator.bin_edges_])
    if estimator.encode == "ordinal":
        return value
    value = value.expand(estimator.n_bins_)
    return value if estimator.encode == "onehot" else value.dense()
