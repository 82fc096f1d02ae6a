"""The picture of the learners: gap to the truth and calibration, by window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.learning.measures import Against

COLOURS = ("#d1495b", "#edae49", "#00798c", "#30638e", "#8d99ae")


def draw(path: Path, learners: Mapping[str, tuple[Against, float]], *, rows: int) -> None:
    """Draw a line for each learner over the windows of its `rows` rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for (name, (found, _)), colour in zip(learners.items(), COLOURS, strict=False):
        n = len(found.gaps)
        x = (np.arange(n) + 0.5) * rows / n / 1000
        style = "--" if name in list(learners)[-2:] else "-"
        left.plot(x, [100 * g for g in found.gaps], style, color=colour, label=f"{name}: {100 * found.gap:.2f} %")
        right.plot(x, found.calibrations, style, color=colour)
    left.set(title="log loss above the truth's, %", xlabel="examples learnt, thousands", yscale="log")
    left.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    left.minorticks_off()
    left.legend(title="second half", frameon=False)
    right.set(title="clicks predicted / expected", xlabel="examples learnt, thousands", ylim=(0.9, 1.1))
    right.axhline(1, color="#333333", lw=0.8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
