"""Linear classifiers, scored together: tasks of many classifiers in one sum, which gives predict_proba's very bits.

predict_proba of one sparse row takes some hundred µs, of which the product takes one. A worker that holds thousands of
linear classifiers gathers the weights of all tasks' columns, and sums them as scikit-learn does: in the order of the
columns, from 0, then the intercept, then the logistic function. The preparer compares the result with predict_proba bit
by bit, and a classifier that differs is scored by its own predict_proba.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrain.workers.prepared import Prepared
    from pytrain.workers.protocol import Float64s, Int32s

# These types, and no type that derives from them, for it may score in another way.
TYPES = (LogisticRegression, LogisticRegressionCV, SGDClassifier)
SAMPLES = 6  # rows that are compared


@dataclass(frozen=True, slots=True)
class Linear:
    """The parameters of a linear classifier of two classes.

    Attributes
    ----------
    weights
        (width,) float64 of each column.
    intercept
        Added to a row's sum.
    """

    weights: Float64s
    intercept: float


def of(estimator: Any) -> Linear | None:
    """Return an estimator's parameters if its probability is the logistic function of a sum, else None."""
    if type(estimator) not in TYPES or len(estimator.classes_) != 2:
        return None
    if isinstance(estimator, SGDClassifier) and estimator.loss != "log_loss":
        return None
    weights, intercept = estimator.coef_, estimator.intercept_
    if not all(isinstance(a, np.ndarray) and a.dtype == np.float64 for a in (weights, intercept)):
        return None
    if weights.ndim != 2 or weights.shape[0] != 1 or intercept.shape != (1,):
        return None
    return Linear(np.ascontiguousarray(weights[0]), float(intercept[0]))


def probabilities(of: Sequence[Linear], columns: Sequence[Int32s], values: Float64s | None) -> Float64s:
    """Score a row for each classifier.

    Parameters
    ----------
    columns
        The columns that each row sets, below its classifier's width.
    values
        Of all rows' columns, one after the other; None: all are 1.

    Returns
    -------
    Float64s
        (n, 2): the probabilities of both classes.
    """
    ends = np.zeros(len(of) + 1, np.int32)
    np.cumsum([len(c) for c in columns], out=ends[1:])
    gathered = np.concatenate([c.weights[at] for c, at in zip(of, columns, strict=True)])
    if values is None:
        values = np.ones(len(gathered))
    # Row i of this matrix has the values of row i in columns of its own, so that the product sums values × weights of
    # each row in order: what SciPy does for a row of scikit-learn's.
    rows = csr_matrix((values, np.arange(len(gathered), dtype=np.int32), ends), (len(of), len(gathered)))
    positive = expit(rows @ gathered + np.array([c.intercept for c in of]))
    return np.stack([1 - positive, positive], axis=1)


def agrees(prepared: Prepared) -> bool:
    """Say whether `probabilities` gives predict_proba's bits for drawn rows: an empty one, short and long ones."""
    own = of(prepared.estimator)
    if own is None or prepared.rows != "one-hot" or prepared.dtype != "float64" or len(own.weights) != prepared.width:
        return False
    rng = np.random.default_rng(prepared.width)
    most = min(prepared.width, 64)
    rows = [np.sort(rng.choice(prepared.width, n * most // SAMPLES, replace=False)) for n in range(SAMPLES + 1)]
    columns = [row.astype(np.int32) for row in rows]
    for values in (None, rng.normal(size=sum(len(c) for c in columns))):
        got = probabilities([own] * len(columns), columns, values)
        begin = 0
        for i, at in enumerate(columns):
            end = begin + len(at)
            data = np.ones(len(at)) if values is None else values[begin:end]
            row = csr_matrix((data, at, np.array([0, len(at)], np.int32)), (1, prepared.width))
            if prepared.estimator.predict_proba(row)[0].tobytes() != got[i].tobytes():
                return False
            begin = end
    return True
