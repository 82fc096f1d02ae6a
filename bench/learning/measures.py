"""The measures: expected log loss against the truth's, calibration, by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytrain.metrics import EPSILON

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.floating]
WINDOWS = 10


def expected_log_loss(truth: Floats, p: Floats) -> float:
    """Log loss (nats) that predictions p have on average, where each label is 1 with probability `truth`."""
    t = np.asarray(truth, np.float64)
    q = np.clip(np.asarray(p, np.float64), EPSILON, 1 - EPSILON)
    return float(-(t * np.log(q) + (1 - t) * np.log1p(-q)).mean())


def gap(truth: Floats, p: Floats) -> float:
    """Expected log loss over its least, the truth's own, minus 1: chance in the labels drops out."""
    return expected_log_loss(truth, p) / expected_log_loss(truth, truth) - 1


def calibration(truth: Floats, p: Floats) -> float:
    """Sum of the predictions over the sum of what they are to be: true probabilities, or labels."""
    total = np.asarray(truth, np.float64).sum()
    return float(np.asarray(p, np.float64).sum() / total) if total > 0 else float("nan")


@dataclass(frozen=True)
class Against:
    """Measures of one learner's progressive predictions."""

    gaps: list[float]  # by window
    calibrations: list[float]  # by window
    gap: float  # of the second half
    calibration: float  # of the second half

    @classmethod
    def truth(cls, truth: Floats, p: Floats) -> Against:
        """Measure predictions p (n,) against hidden probabilities (n,), in the order of time."""
        parts = np.array_split(np.arange(len(p)), WINDOWS)
        half = slice(len(p) // 2, None)
        return cls(
            gaps=[gap(truth[i], p[i]) for i in parts],
            calibrations=[calibration(truth[i], p[i]) for i in parts],
            gap=gap(truth[half], p[half]),
            calibration=calibration(truth[half], p[half]),
        )

    @classmethod
    def median(cls, runs: Sequence[Against]) -> Against:
        """Return the median of each figure over several seeds."""
        return cls(
            gaps=[float(v) for v in np.median([r.gaps for r in runs], axis=0)],
            calibrations=[float(v) for v in np.median([r.calibrations for r in runs], axis=0)],
            gap=float(np.median([r.gap for r in runs])),
            calibration=float(np.median([r.calibration for r in runs])),
        )
