"""What progressive predictions are worth against the hidden truth, by window and in the second half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytrain.metrics import calibration, gap_to_truth

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.floating]
WINDOWS = 10


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
            gaps=[gap_to_truth(truth[i], p[i]) for i in parts],
            calibrations=[calibration(truth[i], p[i]) for i in parts],
            gap=gap_to_truth(truth[half], p[half]),
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
