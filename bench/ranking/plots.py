"""The plots of docs/ranking.md: the paper's Figures 3 to 7, from the raw measurements of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from bench.ranking.sweep import tasks
from scripts.loop.settings import ROOT

PLOTS = ROOT / "bench/results/ranking"
COLOURS = {
    "bank": "#1b7f5c", "workers, batches": "#5b6fb5", "workers, single tasks": "#9aa7d6",
    "Python, pipelines": "#d08a2e",
    "Python, the paper's encoder": "#a8577e",
}  # fmt: skip
THREADED = "#e5bd85"
PAPER = "#777777"
DEADLINE_MS = 200.0
LABEL_GAP = 1.75  # factor between labels of lines
# What the paper's text says; its figures' points are not in print. Machine: 64 hardware threads of Xeon E5-4650 v4.
PAPER_PYTHON_MS = 3.1  # a classifier, after heavy optimization
PAPER_WORKER_MS = 0.8  # a classifier in C++ with Python workers, before parallelism
PAPER_CLASSIFIERS = 2000
PAPER_BEST = (24, 110.0)  # workers from which 2,000 classifiers take no less, and their ms


def draw(figures: Mapping[str, Any], directory: Path = PLOTS) -> None:
    """Draw what `sweep.run` has measured."""
    directory.mkdir(parents=True, exist_ok=True)
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ranking"
    mpl.rcParams["font.size"] = 9
    _classifiers(figures, directory / "classifiers.svg")
    _workers(figures, directory / "workers.svg")
    _shares(figures, directory / "shares.svg")


def _classifiers(figures: Mapping[str, Any], path: Path) -> None:
    """Figure 3: time against the number of classifiers."""
    fig, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
    counts = figures["classifiers"]
    ends: dict[str, tuple[float, str]] = {}
    for name, times in figures["sides"].items():
        colour = COLOURS.get(name, THREADED)
        axis.plot(counts, times, marker="o", markersize=4, lw=1.6, color=colour)
        ends[name] = (times[-1], colour)
    python = [PAPER_PYTHON_MS * n for n in counts]
    axis.plot(counts, python, ls=":", color=PAPER)
    axis.plot(PAPER_CLASSIFIERS, PAPER_BEST[1], marker="*", markersize=10, color=PAPER, ls="none")
    axis.axhline(DEADLINE_MS, color="#333333", lw=0.8, ls="--")
    ends |= {
        f"paper: Python, {PAPER_PYTHON_MS} ms each": (python[-1], PAPER),
        f"paper: {PAPER_BEST[0]} workers and more": (PAPER_BEST[1], PAPER),
        "200 ms": (DEADLINE_MS, "#333333"),
    }
    below = math.inf
    for name, (end, colour) in sorted(ends.items(), key=lambda item: -item[1][0]):
        below = min(end, below / LABEL_GAP)  # labels do not overlap
        axis.text(counts[-1] * 1.15, below, name, va="center", color=colour)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="classifiers",
        ylabel="ms for one user",
        xlim=(counts[0] / 2.2, counts[-1] * 4),
    )
    axis.set_xticks(counts, [f"{n:,}" for n in counts])
    axis.minorticks_off()
    axis.set_title("Time for one user, by the number of classifiers (the paper's Figure 3)", fontsize=10, loc="left")
    _plain(axis)
    _save(fig, path)


def _workers(figures: Mapping[str, Any], path: Path) -> None:
    """Figures 4 and 5: time, and tasks a worker, against the number of workers."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for how in ("batches", "single tasks"):
        found = [w for w in figures["workers"] if w["how"] == how]
        if not found:
            continue
        colour = COLOURS[f"workers, {how}"]
        counts = [w["workers"] for w in found]
        left.plot(counts, [w["ms"] for w in found], marker="o", markersize=4, color=colour, label=how)
        middle, deviation = zip(*map(tasks, found), strict=True)
        right.errorbar(counts, middle, yerr=deviation, marker="o", markersize=4, capsize=3, color=colour, label=how)
    classifiers = figures["workers"][0]["campaigns"]
    left.plot(*PAPER_BEST, marker="*", markersize=10, color=PAPER, ls="none", label="paper, 24 workers and more")
    left.plot(
        [1], [PAPER_WORKER_MS * classifiers], marker="v", color=PAPER, ls="none", label="paper, one worker: 0.8 ms each"
    )
    left.set(xscale="log", yscale="log", xlabel="workers", ylabel=f"ms for {classifiers:,} classifiers")
    left.set_title("Time (Figure 4)", fontsize=10, loc="left")
    right.set(xscale="log", ylim=(0, None), xlabel="workers", ylabel="tasks a worker: median ± σ")
    right.set_title("Share of the tasks (Figure 5)", fontsize=10, loc="left")
    for axis in (left, right):
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.minorticks_off()
        _plain(axis)
    left.legend(frameon=False, fontsize=8)
    _save(fig, path)


def _shares(figures: Mapping[str, Any], path: Path) -> None:
    """Figures 6 and 7: the tasks of each worker."""
    found = [w for w in figures["workers"] if w["how"] == "batches"][-2:]
    fig, axes = plt.subplots(1, len(found), figsize=(9, 2.4), layout="constrained", squeeze=False)
    for axis, w, number in zip(axes[0], found, ("6", "7"), strict=False):
        axis.bar(range(1, len(w["tasks"]) + 1), w["tasks"], color=COLOURS["workers, batches"])
        axis.set(xlabel="worker", ylabel="tasks")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_title(f"{w['workers']} workers (Figure {number})", fontsize=10, loc="left")
        _plain(axis)
    _save(fig, path)


def _plain(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3)


def _save(fig: Any, path: Path) -> None:
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)
