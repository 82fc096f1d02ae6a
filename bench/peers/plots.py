"""The plot of the comparison: a row of panels for each number of connections, a column for each figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.peers.catalogue import GAVEL
from bench.peers.results import Figure, Result, Row
from bench.peers.table import ordered

PANELS: Sequence[tuple[str, Callable[[Result], Figure], str]] = (
    ("requests/s", lambda r: r.requests_per_s, "{:,.0f}"),
    ("CPU a prediction, ms", lambda r: r.cpu_ms, "{:.3f}"),
    ("p99, ms", lambda r: r.p99_ms, "{:.1f}"),
)
OURS, THEIRS = "#d1495b", "#8d99ae"


def draw(path: Path, rows: Sequence[Row], connections: Sequence[int]) -> None:
    """Draw bars with their figures on logarithmic axes, whiskers over the repeats, and the fastest server on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    shown = [row for row in ordered(rows, connections[-1]) if row.results][::-1]
    names = [row.server.title for row in shown]
    colours = [OURS if row.server.peer == GAVEL.peer else THEIRS for row in shown]
    height = 1.0 + len(connections) * (0.7 + 0.27 * len(shown))
    canvas = Canvas(figsize=(16, height), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(connections), len(PANELS), squeeze=False, sharey=True)
    for i, n in enumerate(connections):
        for j, (title, figure, form) in enumerate(PANELS):
            axis, figures = axes[i][j], [figure(row.results[n]) for row in shown]
            medians = [f.median for f in figures]
            whiskers = [[f.median - f.low for f in figures], [f.high - f.median for f in figures]]
            axis.barh(names, medians, color=colours, xerr=whiskers, error_kw={"lw": 1, "ecolor": "#333333"})
            axis.set_xscale("log")
            axis.margins(y=0.01)
            axis.set_xlim(min(medians) / 2.5, max(f.high for f in figures) * 4)
            for k, f in enumerate(figures):
                axis.text(f.high * 1.12, k, form.format(f.median), va="center", fontsize=9)
            axis.set_title(f"{n} connections: {title}", fontsize=11)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="x", alpha=0.3)
            axis.set_axisbelow(True)
    canvas.savefig(path, dpi=110)
