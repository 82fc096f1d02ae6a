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
    """Draw a point for each figure on logarithmic axes, with its range over the repeats, the fastest server on top.

    Points, not bars: a logarithmic axis has no zero at which a bar could begin, so its length would say nothing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    shown = [row for row in ordered(rows, connections[-1]) if row.results][::-1]
    names = [row.server.title for row in shown]
    height = 1.0 + len(connections) * (0.9 + 0.27 * len(shown))
    canvas = Canvas(figsize=(14, height), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(len(connections), len(PANELS), squeeze=False, sharey=True)
    for i, n in enumerate(connections):
        for j, (title, figure, form) in enumerate(PANELS):
            axis, figures = axes[i][j], [figure(row.results[n]) for row in shown]
            for k, (row, f) in enumerate(zip(shown, figures, strict=True)):
                ours = row.server.peer == GAVEL.peer
                colour = OURS if ours else THEIRS
                axis.plot([f.low, f.high], [k, k], color=colour, lw=2.5, solid_capstyle="round")
                axis.plot(f.median, k, marker="D" if ours else "o", color=colour, ms=7)
                axis.annotate(
                    form.format(f.median),
                    (f.high, k),
                    xytext=(8, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=9,
                )
            axis.set_yticks(range(len(names)), names)
            axis.set_xscale("log")
            axis.set_ylim(-0.6, len(names) - 0.4)
            axis.set_xlim(min(f.low for f in figures) / 1.6, max(f.high for f in figures) * 5)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            axis.set_title(f"{n} connections: {title}", fontsize=11)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="both", alpha=0.3)
            axis.set_axisbelow(True)
    canvas.savefig(path, dpi=110)
