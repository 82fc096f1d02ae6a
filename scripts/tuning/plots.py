"""The pictures of a report, as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from scripts.tuning.choice import Choice, Target, pareto
from scripts.tuning.margins import Margins, settled, unnoticed
from scripts.tuning.samples import Standing
from scripts.tuning.settings import Setting

COLOURS = {"adaptive": "#0072b2", "eager": "#009e73", "window": "#e69f00", "off": "#7f7f7f"}
RED, INK = "#c1272d", "#333333"
SHAPES = "osD^vP"  # by runners


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()


def panels(count: int, *, height: float = 4.6) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(
        1, count, figsize=(max(5.0 * count, 7.0), height), squeeze=False, layout="constrained", sharey=True
    )
    return figure, list(axes[0])


def log_ms(axes: Axes) -> None:
    """A logarithmic axis of milliseconds with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def front(standings: Sequence[Standing], target: Target, choice: Choice, base: Setting) -> bytes:
    """p99 against CPU of an auction at each load, with the Pareto front, the target, the base and the choice."""
    figure, axes = panels(len(target.rates))
    runners = sorted({s.setting.runners for s in standings})
    shapes = {n: SHAPES[i % len(SHAPES)] for i, n in enumerate(runners)}
    for panel, rate in zip(axes, target.rates, strict=True):
        log_ms(panel)
        for s in sorted(standings, key=lambda s: s.rounds):
            point(panel, s, rate, shapes[s.setting.runners], mark=mark(s.setting, choice, base))
        points = [(s.median("cpu_us", rate), s.p99(rate)) for s in standings]
        line = [points[i] for i in pareto(points)]
        if line:
            xs, ys = zip(*line, strict=True)
            panel.step(xs, ys, where="post", color=INK, linewidth=1.2, alpha=0.7, zorder=1)
        panel.axhline(target.slo_p99_ms, color=RED, linestyle="--", linewidth=1.2)
        panel.annotate(
            f"target {target.slo_p99_ms:g} ms",
            (1, target.slo_p99_ms),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            color=RED,
            fontsize=8,
        )
        panel.set_title(f"{rate:,.0f} auctions/s", fontsize=10, loc="left")
        panel.set_xlabel("CPU of the bidder, µs an auction")
    axes[0].set_ylabel("p99 of the answers, ms")
    legend(figure, axes[0], standings, shapes, line_of=INK)
    said = f"recommended: {choice.setting}\n" if choice.meets else "none meets the target at every load\n"
    figure.suptitle(f"{said}now: {base}", x=0.01, ha="left", fontsize=9)
    return png(figure)


def mark(setting: Setting, choice: Choice, base: Setting) -> str:
    if choice.meets and setting == choice.setting:
        return "recommended"
    return "now" if setting == base else ""


def point(panel: Axes, s: Standing, rate: float, shape: str, *, mark: str) -> None:
    """A setting at a load: its median, the range of its rounds, faint where it was measured once.

    One that loses too many auctions to have a p99 stands hollow at the upper edge.
    """
    x, y = s.median("cpu_us", rate), s.p99(rate)
    colour, alpha = COLOURS[s.setting.policy], 1.0 if s.rounds > 1 else 0.45
    left, right = s.range("cpu_us", rate)
    place: dict[str, Any] = {}
    if math.isfinite(y):
        low = min(s.range("p99", rate)[0], y)
        high = max((v.p99 for v in s.at(rate) if math.isfinite(v.p99)), default=y)
        reach = [[y - low], [max(high - y, 0)]], [[x - left], [right - x]]
        panel.errorbar(x, y, yerr=reach[0], xerr=reach[1], fmt="none", ecolor=colour, alpha=0.25 * alpha)
    else:
        y, place = 0.98, {"transform": panel.get_xaxis_transform()}
    hollow = bool(place)
    panel.scatter(
        x,
        y,
        s=46,
        marker=shape,
        alpha=alpha,
        zorder=3,
        linewidths=1.2,
        edgecolors=colour,
        facecolors="none" if hollow else colour,
        clip_on=False,
        **place,
    )
    if mark:
        ink = RED if mark == "recommended" else INK
        panel.scatter(x, y, s=190, marker="o", facecolors="none", edgecolors=ink, zorder=4, clip_on=False, **place)
        words = panel.annotate(
            mark,
            (x, y),
            xycoords=("data", "axes fraction") if hollow else "data",
            xytext=(0, 9 if mark == "recommended" else -17),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=ink,
            zorder=5,
        )
        words.set_in_layout(False)  # it may reach beyond the panel without making that smaller


def legend(
    figure: Figure, panel: Axes, standings: Sequence[Standing], shapes: Mapping[int, str], *, line_of: str
) -> None:
    """What colours, shapes and faintness mean."""
    policies = [p for p in COLOURS if any(s.setting.policy == p for s in standings)]
    handles: list[Any] = [panel.scatter([], [], color=COLOURS[p], marker="o", label=p) for p in policies]
    if len(shapes) > 1:
        handles += [
            panel.scatter([], [], color="#999999", marker=m, label=f"{n} runner" + "s" * (n > 1))
            for n, m in shapes.items()
        ]
    handles += panel.plot([], [], color=line_of, linewidth=1.2, label="Pareto front")
    handles.append(panel.scatter([], [], facecolors="none", edgecolors="#999999", label="loses auctions"))
    handles.append(panel.scatter([], [], color="#999999", alpha=0.45, label="measured once"))
    columns = min(len(handles), 5 * len(figure.axes))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def margins(
    found: Margins, rates: Sequence[float], tmax_ms: Sequence[int], *, target: float, chosen: float | None, now: float
) -> bytes:
    """Late answers above, bids given up too early below, against the margin, a line a deadline, a column a load."""
    figure, axes = plt.subplots(
        2,
        len(rates),
        figsize=(max(4.6 * len(rates), 7.0), 6.6),
        squeeze=False,
        layout="constrained",
        sharex=True,
        sharey="row",
    )
    late = settled(found)
    ordered = sorted(found)
    colours = plt.get_cmap("viridis")
    for column, rate in enumerate(rates):
        upper, lower = axes[0][column], axes[1][column]
        for i, tmax in enumerate(tmax_ms):
            colour = colours(0.85 * i / max(len(tmax_ms) - 1, 1))
            cells = [found[m].get((rate, tmax)) for m in ordered]
            line = [late[m].get((rate, tmax), math.nan) for m in ordered]
            upper.plot(ordered, [v or math.nan for v in line], color=colour, linewidth=1.4, label=f"tmax {tmax} ms")
            for m, cell in zip(ordered, cells, strict=True):
                if cell is None or not cell.total.sent:
                    continue
                c = cell.total
                none = c.late == 0
                y = unnoticed(0, c.sent) if none else c.late_share
                upper.scatter(m, y, s=26, facecolors="none" if none else [colour], edgecolors=[colour], zorder=3)
            early = [math.nan if cell is None else 100 * cell.given_up_early for cell in cells]
            lower.plot(ordered, early, color=colour, linewidth=1.4, marker="o", markersize=4)
        upper.set_yscale("log")
        upper.axhline(target, color=RED, linestyle="--", linewidth=1.2)
        upper.annotate(
            f"target {target:g}",
            (1, target),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            color=RED,
            fontsize=8,
        )
        upper.set_title(f"{rate:,.0f} auctions/s", fontsize=10, loc="left")
        lower.set_xlabel("auction.tmax_margin, ms")
        lower.set_ylim(bottom=0)
        for panel in (upper, lower):
            panel.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.8)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
            panel.axvline(now, color=INK, linewidth=1, linestyle=":")
            if chosen is not None:
                panel.axvline(chosen, color=RED, linewidth=1.2)
    axes[0][0].set_ylabel("late answers, share")
    axes[1][0].set_ylabel("bids given up too early, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles += axes[0][0].plot([], [], color=INK, linestyle=":", label="now")
    labels.append("now")
    if chosen is not None:
        handles += axes[0][0].plot([], [], color=RED, label="recommended")
        labels.append("recommended")
    handles.append(axes[0][0].scatter([], [], facecolors="none", edgecolors="#777777"))
    labels.append("none late: could be so many")
    columns = min(len(labels), 4 * len(rates))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return png(figure)
