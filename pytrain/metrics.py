"""Quality of predictions: log loss, normalised entropy, AUC, calibration; and windows of progressive validation.

Labels may be soft (in [0, 1]) and rows weighted: a row of label y and weight w counts as y·w positive and (1 − y)·w
negative. A measure that is not defined (AUC with one class only, …) is NaN here and None in `Summary.wire`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.floating]"

EPSILON = 1e-7  # predictions are clipped to this distance from 0 and 1, which float32 sigmoids reach


def log_loss(y: Floats, p: Floats, w: Floats | None = None) -> float:
    """Mean negative log-likelihood in nats; y, p, w are (n,)."""
    y, p, w = _columns(y, p, w)
    total = w.sum()
    if total == 0:
        return math.nan
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return float(-(w * (y * np.log(p) + (1 - y) * np.log1p(-p))).sum() / total)


def gap_to_truth(truth: Floats, p: Floats) -> float:
    """Log loss of predictions p (n,) over the least possible log loss, minus 1; `truth` (n,): the true probabilities.

    Both log losses are expectations over the labels, so that chance in the labels drops out.
    """
    return log_loss(truth, p) / log_loss(truth, truth) - 1


def entropy(rate: float) -> float:
    """Log loss, in nats, of always predicting `rate` where that is the share of positives."""
    if not 0 < rate < 1:
        return 0.0 if rate in (0, 1) else math.nan
    return -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))


def normalized_entropy(y: Floats, p: Floats, w: Floats | None = None) -> float:
    """Log loss over that of the rows' own base rate; below 1 is better than a constant.

    Source: He et al., Practical Lessons from Predicting Clicks on Ads at Facebook (2014), section 3.
    """
    h = entropy(base_rate(y, w))
    return log_loss(y, p, w) / h if h > 0 else math.nan


def base_rate(y: Floats, w: Floats | None = None) -> float:
    """Weighted share of positives."""
    y, _, w = _columns(y, y, w)
    total = w.sum()
    return float((w * y).sum() / total) if total > 0 else math.nan


def calibration(y: Floats, p: Floats, w: Floats | None = None) -> float:
    """Predicted over observed positives; 1 is right, 2 predicts twice as many (He et al. 2014, section 3)."""
    y, p, w = _columns(y, p, w)
    seen = (w * y).sum()
    return float((w * p).sum() / seen) if seen > 0 else math.nan


def auc(y: Floats, p: Floats, w: Floats | None = None) -> float:
    """Probability that a positive is ranked above a negative, ties counting half."""
    y, p, w = _columns(y, p, w)
    _, place = np.unique(p, return_inverse=True)
    positive = np.bincount(place, weights=w * y)
    negative = np.bincount(place, weights=w * (1 - y))
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return math.nan
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def _columns(
    y: Floats, p: Floats, w: Floats | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    y64 = np.asarray(y, np.float64)
    return y64, np.asarray(p, np.float64), np.ones_like(y64) if w is None else np.asarray(w, np.float64)


@dataclass(frozen=True)
class Summary:
    """Metrics of one window of rows."""

    rows: int
    log_loss: float
    normalized_entropy: float
    auc: float
    calibration: float
    base_rate: float

    @classmethod
    def of(cls, y: Floats, p: Floats, w: Floats | None = None) -> Summary:
        """Measure predictions p against labels y, each (n,)."""
        return cls(
            len(y), log_loss(y, p, w), normalized_entropy(y, p, w), auc(y, p, w), calibration(y, p, w), base_rate(y, w)
        )

    def wire(self) -> dict[str, int | float | None]:
        """Return the keys of the contract; None where a measure is not defined."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


class Window:
    """Collects predictions made before learning, and yields a summary every `size` rows."""

    def __init__(self, size: int) -> None:
        self._columns = np.empty((3, size), np.float32)  # y, p, w
        self._rows = 0

    def add(self, y: Floats, p: Floats, w: Floats) -> Iterator[Summary]:
        """Take n rows in order; yield a summary for each window that they fill."""
        taken = 0
        size = self._columns.shape[1]
        while taken < len(y):
            n = min(size - self._rows, len(y) - taken)
            for column, values in zip(self._columns, (y, p, w), strict=True):
                column[self._rows : self._rows + n] = values[taken : taken + n]
            self._rows += n
            taken += n
            if self._rows == size:
                yield self.summary()
                self._rows = 0

    def summary(self) -> Summary:
        """Measure the rows since the last full window."""
        y, p, w = self._columns[:, : self._rows]
        return Summary.of(y, p, w)


@dataclass(frozen=True)
class Bin:
    """Rows of similar prediction: predicted and observed rate of positives."""

    rows: int
    low: float
    high: float
    predicted: float  # mean prediction
    seen: float  # share of positives


def calibration_bins(y: Floats, p: Floats, w: Floats | None = None, *, count: int = 10) -> list[Bin]:
    """Cut the rows, ordered by prediction, into `count` bins of equally many rows."""
    y, p, w = _columns(y, p, w)
    order = np.argsort(p, kind="stable")
    bins = []
    for part in np.array_split(order, count):
        total = w[part].sum()
        if total > 0:
            mean_p, mean_y = (float((w[part] * v[part]).sum() / total) for v in (p, y))
            bins.append(Bin(len(part), float(p[part[0]]), float(p[part[-1]]), mean_p, mean_y))
    return bins
