"""The picture of a search, as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.tuning.search import Measured

COLOURS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#8c564b", "#7f7f7f")
RED, INK, GREY = "#c1272d", "#222222", "#999999"
STAR: Mapping[str, Any] = {"marker": "*", "s": 260, "facecolors": RED, "edgecolors": "white", "linewidths": 0.8}
FRAME: Mapping[str, Any] = {"marker": "s", "s": 300, "facecolors": "none", "edgecolors": INK, "linewidths": 1.6}


def front(path: Path, measured: Measured, rates: Sequence[float], chosen: str | None, good: Sequence[float]) -> None:
    """What is bounded against the cost at each load: a candidate's medians, with the ranges of its rounds.

    What lies above three times the target is drawn on the upper edge as a triangle. `chosen` is the recommended
    candidate, for the loads `good`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    question = measured.question
    figure = Figure(figsize=(max(5.4 * len(rates), 8), 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    top, panels = 3 * question.target, figure.subplots(1, len(rates), squeeze=False, sharey=True)[0]
    groups = list(dict.fromkeys(measured.groups.values()))
    colours = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(groups)}
    for panel, rate in zip(panels, rates, strict=True):
        for name, rounds in measured.rounds.items():
            costs, ys = measured.values(name, "cost", rate), measured.values(name, "bounded", rate)
            x, y = measured.median(name, "cost", rate), min(measured.median(name, "bounded", rate), top)
            colour, shape = colours[measured.groups[name]], "o" if y < top else "^"
            panel.plot([x, x], [min(*ys, top), min(max(ys), top)], color=colour, lw=1, alpha=0.6)
            panel.plot([min(costs), max(costs)], [y, y], color=colour, lw=1, alpha=0.6)
            faint = 1.0 if len(rounds) > 1 else 0.4
            panel.scatter(x, y, s=50, marker=shape, color=colour, alpha=faint, zorder=3, clip_on=False)
            if name == chosen and rate in good:
                mark(panel, "recommended", x, y, STAR)
            if name == measured.base:
                mark(panel, "in force", x, y, FRAME)
        panel.axhline(question.target, color=RED, linestyle="--", linewidth=1.2)
        panel.set_ylim(-top / 20, top)
        panel.margins(x=0.25)
        panel.locator_params(axis="x", nbins=6)
        panel.grid(visible=True, color="#e5e5e5", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        left_out = "" if rate in good else " (no recommendation for this load)"
        panel.set_title(f"{rate:,.0f} auctions/s{left_out}", fontsize=10, loc="left", pad=14)
        panel.set_xlabel(question.cost)
    blank = panels[0]
    blank.set_ylabel(question.bounded)
    handles = [blank.scatter([], [], color=colour, label=group) for group, colour in colours.items()]
    handles += [
        blank.scatter([], [], color=GREY, alpha=0.4, label="measured once"),
        blank.scatter([], [], color=GREY, marker="^", label=f"above {top:g}"),
        *blank.plot([], [], color=RED, linestyle="--", label=f"target {question.target:g}"),
        blank.scatter([], [], label=f"in force: {measured.base}", **{**FRAME, "s": 70}),
    ]
    if chosen is not None:
        handles.append(blank.scatter([], [], label=f"recommended: {chosen}", **{**STAR, "s": 120}))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.savefig(path, dpi=110)


def mark(panel: Any, text: str, x: float, y: float, look: Mapping[str, Any]) -> None:
    """A mark around a point, with its meaning beside it: to the left of a star, to the right of a frame."""
    panel.scatter(x, y, zorder=4, clip_on=False, **look)
    side, colour = ("right", RED) if look is STAR else ("left", INK)
    at, behind = (-11 if look is STAR else 12, 0), {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
    panel.annotate(
        text,
        (x, y),
        at,
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=9,
        color=colour,
        zorder=6,
        bbox=behind,
    )
