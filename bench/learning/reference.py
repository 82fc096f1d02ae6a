"""The learners that the recipes are measured against: FTRL-proximal in NumPy, scikit-learn refitted at intervals."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrain.frames import Float32s, Int32s

Floats = npt.NDArray[np.float64]


class Ftrl:
    """Logistic regression by FTRL-proximal, per coordinate (McMahan et al., Ad Click Prediction, 2013, algorithm 1).

    Gradients are summed over the rows of a step. The bias is a coordinate like the others, without penalty. Everything
    is float64.
    """

    def __init__(
        self,
        table_rows: int,
        *,
        base_rate: float,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 0.0,
        l2: float = 1.0,
    ) -> None:
        self.alpha, self.beta, self.l1, self.l2 = alpha, beta, l1, l2
        self.z = np.zeros(table_rows)
        self.n = np.zeros(table_rows)
        # The bias takes the place of index 0, "missing", which has no weight of its own.
        self.z[0] = -np.log(base_rate / (1 - base_rate)) * beta / alpha

    def weights(self, ids: npt.NDArray[np.integer]) -> Floats:
        """Return the weights of indices; that of 0 is the bias."""
        z, n = self.z[ids], self.n[ids]
        free = ids == 0
        l1, l2 = np.where(free, 0.0, self.l1), np.where(free, 0.0, self.l2)
        w = -(z - np.sign(z) * l1) / ((self.beta + np.sqrt(n)) / self.alpha + l2)
        return np.asarray(np.where(np.abs(z) <= l1, 0.0, w))

    def learn(self, x: Int32s, y: Float32s) -> Floats:
        """Return the probabilities (n,) of rows x (n, F) as they were before; then learn from them."""
        ids, place = np.unique(np.concatenate([[0], x.ravel()]), return_inverse=True)
        w = self.weights(ids)
        place = place[1:].reshape(x.shape)
        by_row = w[place]
        by_row[x == 0] = 0.0
        p = 1 / (1 + np.exp(-(w[0] + by_row.sum(axis=1))))
        error = np.broadcast_to((p - y)[:, None], x.shape)
        g = np.bincount(place[x > 0], weights=error[x > 0], minlength=len(ids))
        g[0] = (p - y).sum()
        n = self.n[ids]
        self.z[ids] += g - (np.sqrt(n + g * g) - np.sqrt(n)) / self.alpha * w
        self.n[ids] = n + g * g
        return np.asarray(p)


def by_ftrl(
    x: Int32s, y: Float32s, *, table_rows: int, base_rate: float, step: int = 64, tell: Callable[[int], None]
) -> tuple[Floats, float]:
    """Predict, then learn, in steps; return the probabilities (n,) and the CPU seconds."""
    ftrl = Ftrl(table_rows, base_rate=base_rate)
    p = np.empty(len(y))
    begin = time.process_time()
    for i in range(0, len(y), step):
        part = slice(i, i + step)
        p[part] = ftrl.learn(x[part], y[part])
        tell(len(p[part]))
    return p, time.process_time() - begin


def by_sklearn(
    x: Int32s, y: Float32s, *, base_rate: float, refits: int = 10, tell: Callable[[int], None]
) -> tuple[Floats, float]:
    """Predict each part by a LogisticRegression of all rows before it; the first by the base rate.

    Its features are the indices, one-hot, as `FeatureHasher` would give them.
    """
    p = np.full(len(y), base_rate)
    begin = time.process_time()
    seen, columns = np.unique(x, return_inverse=True)
    columns = columns.reshape(x.shape)
    present = x > 0
    rows = np.broadcast_to(np.arange(len(x))[:, None], x.shape)
    matrix = csr_matrix((np.ones(present.sum()), (rows[present], columns[present])), shape=(len(x), len(seen)))
    parts = np.array_split(np.arange(len(y)), refits)
    for part in parts:
        if part[0] and 0 < y[: part[0]].sum() < part[0]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # more steps change nothing that can be seen
                model = LogisticRegression(C=0.1, max_iter=200).fit(matrix[: part[0]], y[: part[0]])
            p[part] = model.predict_proba(matrix[part])[:, 1]
        tell(len(part))
    return p, time.process_time() - begin
