"""The picture: what each campaign's classifier found of the learnable gain, and its calibration, by rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.rank_learning.rare import Found

COLOURS = {"prior": "#00798c", "independent": "#d1495b"}


def draw(path: Path, rates: Sequence[float], runs: Mapping[str, Sequence[Found]]) -> None:
    """Draw the medians over the seeds' runs, campaign by campaign."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name, found in runs.items():
        style = {"color": COLOURS.get(name, "#8d99ae"), "marker": "o", "markersize": 3.5, "lw": 1.2}
        left.plot(rates, np.median([f.shares for f in found], axis=0), label=name, **style)
        right.plot(rates, np.median([f.calibrations for f in found], axis=0), **style)
    left.set(
        title="share of the learnable gain", xlabel="the campaign's rate of sales", xscale="log", ylim=(-1.05, 1.02)
    )
    left.axhline(0, color="#333333", lw=0.8)
    left.legend(frameon=False, loc="lower right")
    right.set(title="sales predicted / expected", xlabel="the campaign's rate of sales", xscale="log", yscale="log")
    right.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    right.minorticks_off()
    right.axhline(1, color="#333333", lw=0.8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
