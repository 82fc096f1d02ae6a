"""The plots of docs/plans.md, from the raw measurements of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from bench.plans import served
from bench.report import median
from scripts.loop.settings import ROOT

PLOTS = ROOT / "bench/results/plans"
COLOURS = {
    "Gavel": "#1b7f5c", "scikit-learn": "#d08a2e", "onnxruntime": "#5b6fb5", "MLServer": "#a8577e",
    "Gavel, no object store": "#8fc7b1",
}  # fmt: skip


def draw(raw: dict[str, Any]) -> None:
    """Draw what was measured."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "plans"
    mpl.rcParams["font.size"] = 9
    if "memory" in raw:
        memory(raw["memory"])
    if "rows text" in raw and "rows tabular" in raw:
        rows(raw)
    if "http" in raw:
        http(raw["http"]["fleets"])


def memory(found: dict[str, Any]) -> None:
    """Draw the memory of 250 models; a peer that runs fewer is scaled."""
    fig, axes = plt.subplots(1, len(found), figsize=(9, 1.9), layout="constrained")
    for axis, (fleet, sides) in zip(axes, found.items(), strict=True):
        most = max(f["models"] for f in sides.values() if "error" not in f)
        shown = {s: f["called"]["pss_kb"] / 1024 * (most / f["models"]) for s, f in sides.items() if "error" not in f}
        _bars(axis, shown, f"{most} {fleet} models, each called once: MB")
    _save(fig, "memory.svg")


def rows(raw: dict[str, Any]) -> None:
    """Draw the time a row, of rows alone and in batches."""
    fig, axes = plt.subplots(2, 2, figsize=(9, 3.2), layout="constrained")
    for column, fleet in enumerate(("text", "tabular")):
        for line, (how, title) in enumerate((("one", "one row a call"), ("many", "1,000 rows a call"))):
            sides = {
                s: median([r["row_us"] for r in rounds]) for s, rounds in raw[f"rows {fleet}"][how].items() if rounds
            }
            _bars(axes[line][column], sides, f"{fleet}, {title}: µs a row")
    _save(fig, "rows.svg")


def http(fleets: dict[str, Any]) -> None:
    """Draw the median latency of one row, and rows a second in requests of 100."""
    fig, axes = plt.subplots(2, len(fleets), figsize=(9, 2.8), layout="constrained")
    for column, (fleet, measured) in enumerate(fleets.items()):
        sides = served.sides_of(measured)
        one = {s: median([r["p50_us"] for r in served.of(measured, s, 1, served.CONNECTIONS[0])]) for s in sides}
        many = {
            s: median([r["rows_per_second"] for r in served.of(measured, s, 100, served.CONNECTIONS[-1])])
            for s in sides
        }
        names = {s: s if s != "scikit-learn" else "scikit-learn, no HTTP" for s in sides}
        _bars(axes[0][column], one, f"{fleet}, a request for one row: median µs", names)
        _bars(axes[1][column], many, f"{fleet}, requests for 100 rows: rows a second", names)
    _save(fig, "http.svg")


def _bars(axis: Any, values: Mapping[str, float], title: str, names: Mapping[str, str] | None = None) -> None:
    bars = axis.barh(
        [(names or {}).get(side, side) for side in values], list(values.values()), color=[COLOURS[s] for s in values]
    )
    axis.bar_label(bars, labels=[f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values.values()], padding=3)
    axis.set(xscale="log", xlim=(min(values.values()) / 2, max(values.values()) * 8))
    axis.set_title(title, fontsize=9, loc="left")
    axis.xaxis.set_visible(False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.invert_yaxis()


def _save(fig: Any, name: str) -> None:
    fig.savefig(PLOTS / name, metadata={"Date": None})
    plt.close(fig)
